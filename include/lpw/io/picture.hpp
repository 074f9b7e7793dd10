// Photographs in files, by what these hold and not by how they are called: ImageNet has a PNG that is called .JPEG.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <lpw/data/picture.hpp>
#include <lpw/io/file.hpp>
#include <lpw/io/pictures/jpeg.hpp>
#include <lpw/io/pictures/png.hpp>

namespace lpw::inline LPW_ABI::io {

namespace pictures {

/// The name of the kind of image that a file holds that is neither JPEG nor PNG, or nothing.
[[nodiscard]] inline std::string_view other_kind(const Encoded& file) {
  if (file.has(0, "GIF8")) return "a GIF";
  if (file.has(0, "RIFF") && file.has(8, "WEBP")) return "a WebP";
  if (file.has(0, "BM") && file.has(6, std::string_view("\0\0\0\0", 4))) return "a BMP";
  if (file.has(0, std::string_view("II*\0", 4)) || file.has(0, std::string_view("MM\0*", 4))) return "a TIFF";
  if (file.has(4, "ftyp")) return "a HEIF, AVIF or video";
  return {};
}

/// Whether a file begins as those do that are read.
[[nodiscard]] inline bool begins_as_jpeg(const Encoded& file) { return file.has(0, "\xff\xd8\xff"); }
[[nodiscard]] inline bool begins_as_png(const Encoded& file) {
  return file.has(0, std::string_view("\x89PNG\r\n\x1a\n", 8));
}

}  // namespace pictures

inline namespace LPW_PICTURES {

/// Decodes a JPEG or PNG file to 8-bit colour. Throws FileError, naming the file, where it cannot be read, and
/// NoPicture, which is one, where it is damaged, of another kind, or announces more pixels than the options allow.
[[nodiscard]] inline data::Picture read_picture(const std::filesystem::path& path, const PictureOptions& options = {}) {
  const std::string name = path.string();
  constexpr std::uintmax_t most_bytes = std::uintmax_t{1} << 30;
  std::error_code unknown;
  const auto size = std::filesystem::file_size(path, unknown);
  require<NoPicture>(unknown || size <= most_bytes, name, ": has ", size, " bytes, more than any image here may have");
  const auto bytes = read_file<std::uint8_t>(path);
  const pictures::Encoded file{bytes, name};
  require<NoPicture>(!bytes.empty(), name, ": is empty; fetch it again, or remove it");
  if (pictures::begins_as_jpeg(file)) return pictures::read_jpeg(file, options);
  if (pictures::begins_as_png(file)) return pictures::read_png(file, options);
  const auto other = pictures::other_kind(file);
  require<NoPicture>(other.empty(), name, ": is ", other, " image; JPEG and PNG are read; convert it to one of them");
  fail<NoPicture>(name, ": is no image: it starts like neither JPEG nor PNG; fetch it again, or remove it");
}

}  // namespace LPW_PICTURES

}  // namespace lpw::inline LPW_ABI::io
