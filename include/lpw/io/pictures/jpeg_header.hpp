// What lies before the pixels of a JPEG file (ITU-T T.81, Annex B): its size and kind, Adobe's mark, and the
// orientation that its EXIF data says.
#pragma once

#include <cstdint>
#include <vector>

#include <lpw/io/pictures/file.hpp>

namespace lpw::inline LPW_ABI::io::pictures {

/// What a JPEG file says of itself before its pixels.
struct JpegHeader {
  std::int64_t height = 0, width = 0;      // in pixels
  int components = 0;                      // 1 grey, 3 colour, 4 CMYK or YCCK
  int orientation = 1;                     // of EXIF: 1 as stored, 2 mirrored, ... 8
  bool adobe = false;                      // whose CMYK is stored inverted
  std::vector<std::uint8_t> cleaned = {};  // the file without what stands between segments, where something does
};

namespace detail {

/// The orientation in a TIFF directory at `begin`, of `size` bytes; 1 where there is none or it is damaged.
[[nodiscard]] inline int exif_orientation(const Encoded& file, std::int64_t begin, std::int64_t size) {
  const bool little = file.has(begin, "II*"), big = file.has(begin, "MM");
  if (size < 8 || (!little && !big)) return 1;
  const auto number = [&](std::int64_t at, int bytes) {
    std::int64_t value = 0;
    for (int b = 0; b < bytes; ++b) value = value << 8 | file[begin + at + (little ? bytes - 1 - b : b)];
    return value;
  };
  const std::int64_t directory = number(4, 4);
  if (directory > size - 2) return 1;
  const std::int64_t entries = number(directory, 2);
  constexpr std::int64_t entry = 12, tag = 0x112, whole_number = 3;
  for (std::int64_t i = 0, at = directory + 2; i < entries && at <= size - entry; ++i, at += entry)
    if (number(at, 2) == tag && number(at + 2, 2) == whole_number) {
      const auto value = static_cast<int>(number(at + 8, 2));
      return value >= 1 && value <= 8 ? value : 1;
    }
  return 1;
}

/// Takes what the frame header at `at`, of kind `marker`, says.
inline void read_frame(const Encoded& file, std::int64_t at, int length, int marker, JpegHeader& header) {
  require<NoPicture>(marker <= 0xc2, file.name,
                     ": is a JPEG of a rare kind (lossless or with arithmetic coding); save it again as a usual one");
  if (length < 8) file.refuse("JPEG", "its frame header is too short");
  require<NoPicture>(file[at + 2] == 8, file.name, ": is a JPEG of ", file[at + 2],
                     " bits a channel; 8 are read; save it again with 8");
  header.height = file.two(at + 3), header.width = file.two(at + 5), header.components = file[at + 7];
  const int n = header.components;
  require<NoPicture>(n == 1 || n == 3 || n == 4, file.name, ": is a JPEG of ", n,
                     " channels; 1 (grey), 3 (colour) and 4 (CMYK) are read");
}

}  // namespace detail

/// Reads the segments up to the pixels. Throws NoPicture for what is no such file, or of a kind that is not read.
[[nodiscard]] inline JpegHeader read_jpeg_header(const Encoded& file) {
  JpegHeader header;
  std::int64_t at = 2;
  const auto begin = file.bytes.begin();
  auto kept = begin;  // up to which the file is in `cleaned`, where anything is
  while (true) {
    const auto stray = begin + at;
    while (at < file.size() && file[at] != 0xff) ++at;  // decoders skip what stands between segments
    if (begin + at != stray) header.cleaned.insert(header.cleaned.end(), kept, stray), kept = begin + at;
    while (at < file.size() && file[at] == 0xff) ++at;
    if (at + 3 > file.size()) file.refuse("JPEG", "it ends before its pixels: it is truncated");
    const int marker = file[at++];
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;  // which have no content
    const int length = file.two(at);
    if (length < 2 || at + length > file.size()) file.refuse("JPEG", "it ends before its pixels: it is truncated");
    const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame) detail::read_frame(file, at, length, marker, header);
    if (marker == 0xe1 && file.has(at + 2, std::string_view("Exif\0\0", 6)) && length > 8)
      header.orientation = detail::exif_orientation(file, at + 8, length - 8);
    if (marker == 0xee && file.has(at + 2, "Adobe")) header.adobe = true;
    if (marker == 0xda || marker == 0xd9) break;
    at += length;
  }
  if (header.components == 0) file.refuse("JPEG", "it has no frame header");
  if (kept != begin) header.cleaned.insert(header.cleaned.end(), kept, file.bytes.end());
  return header;
}

}  // namespace lpw::inline LPW_ABI::io::pictures
