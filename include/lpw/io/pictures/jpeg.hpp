// JPEG files, decoded by libjpeg-turbo through its own interface, which reports errors by returning (libjpeg's jumps
// out of the functions under way). Programs link lpw::images. Greyscale becomes colour; CMYK, as Adobe's programs write
// it, too, without a colour profile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <lpw/data/picture.hpp>
#include <lpw/io/pictures/jpeg_header.hpp>

#if defined(LPW_WITH_JPEG) && LPW_WITH_JPEG
#include <turbojpeg.h>
#endif

namespace lpw::inline LPW_ABI::io::pictures {

#if defined(LPW_WITH_JPEG) && LPW_WITH_JPEG
namespace detail {

class JpegDecoder {
 public:
  JpegDecoder() : handle_(tjInitDecompress()) {
    require<OutOfMemory>(handle_ != nullptr, "no memory for a JPEG decoder");
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { tjDestroy(handle_); }

  /// Decodes `bytes`, all of a file but what its header has too much, into a picture of the header's size. The library
  /// tells of the first warning only, and is therefore stopped by it: what is wrong behind it would stay unknown. One
  /// is no loss, bytes between the last pixel and the end of the image, which some cameras write, since nothing
  /// follows.
  void decode(const Encoded& file, std::span<const std::uint8_t> bytes, int format, data::Picture& picture) {
    if (decodes(bytes, format, TJFLAG_STOPONWARNING, picture)) return;
    const std::string message = tjGetErrorStr2(handle_);
    const bool at_end = message.find("extraneous bytes before marker 0xd9") != message.npos;
    if (at_end && (decodes(bytes, format, 0, picture) || tjGetErrorCode(handle_) == TJERR_WARNING)) return;
    file.refuse("JPEG",
                message.find("Premature end") != message.npos ? "its end is missing: it is truncated" : message);
  }

 private:
  [[nodiscard]] bool decodes(std::span<const std::uint8_t> bytes, int format, int flags, data::Picture& picture) {
    return tjDecompress2(handle_, bytes.data(), bytes.size(), picture.pixels.data(), static_cast<int>(picture.width),
                         static_cast<int>(picture.width * data::Picture::channels), static_cast<int>(picture.height),
                         format, flags | TJFLAG_LIMITSCANS) == 0;
  }

  tjhandle handle_;
};

/// Cyan, magenta, yellow and black, stored inverted or not, become red, green and blue.
inline void to_rgb(data::Picture& picture, bool inverted) {
  for (auto* pixel = picture.pixels.data(); pixel != picture.pixels.data() + picture.pixels.size(); pixel += 4) {
    const int black = inverted ? pixel[3] : 255 - pixel[3];
    for (int c = 0; c < 3; ++c) {
      const int light = inverted ? pixel[c] : 255 - pixel[c];
      pixel[c] = static_cast<std::uint8_t>((light * black + 127) / 255);
    }
  }
}

/// The picture as EXIF's orientation means it.
[[nodiscard]] inline data::Picture upright(data::Picture picture, int orientation) {
  if (orientation == 1) return picture;
  const bool turned = orientation >= 5;
  data::Picture result(turned ? picture.width : picture.height, turned ? picture.height : picture.width);
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
             from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (std::int64_t y = 0; y < result.height; ++y)
    for (std::int64_t x = 0; x < result.width; ++x) {
      const std::int64_t row = turned ? x : y, column = turned ? y : x;
      const auto* pixel = picture.row(from_below ? picture.height - 1 - row : row) +
                          4 * (from_right ? picture.width - 1 - column : column);
      std::copy_n(pixel, 4, result.row(y) + 4 * x);
    }
  return result;
}

}  // namespace detail

inline namespace LPW_PICTURES {

/// Whether this program reads JPEG files.
inline constexpr bool reads_jpeg = true;

/// Throws NoPicture, naming the file, for one that is damaged or of a kind that is not read.
[[nodiscard]] inline data::Picture read_jpeg(const Encoded& file, const PictureOptions& options) {
  const JpegHeader header = read_jpeg_header(file);
  require_size(file, header.height, header.width, options);
  data::Picture picture(header.height, header.width);
  const std::span<const std::uint8_t> bytes = header.cleaned.empty() ? file.bytes : std::span(header.cleaned);
  detail::JpegDecoder().decode(file, bytes, header.components == 4 ? TJPF_CMYK : TJPF_RGBX, picture);
  if (header.components == 4) detail::to_rgb(picture, header.adobe);
  return options.upright ? detail::upright(std::move(picture), header.orientation) : picture;
}

}  // namespace LPW_PICTURES

#else
inline namespace LPW_PICTURES {

/// Whether this build reads JPEG files.
inline constexpr bool reads_jpeg = false;

/// Throws FileError, which says how to have what it needs.
[[nodiscard]] inline data::Picture read_jpeg(const Encoded& file, const PictureOptions&) {
  file.refuse_without("JPEG", "libjpeg-turbo (libturbojpeg0-dev)");
}

}  // namespace LPW_PICTURES
#endif

}  // namespace lpw::inline LPW_ABI::io::pictures
