// What decoders of photographs have in common: the file's content with its name, and what is refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::io {

/// How photographs are read.
struct PictureOptions {
  std::int64_t most_pixels = 100'000'000;  // of a file; a header that says more is refused before memory is taken
  bool upright = true;  // turn a JPEG as its EXIF orientation says (torchvision's ImageFolder doesn't)
};

namespace pictures {

/// A file's content, and the file's name for messages.
struct Encoded {
  std::span<const std::uint8_t> bytes;
  const std::string& name;

  [[nodiscard]] std::int64_t size() const { return std::ssize(bytes); }
  [[nodiscard]] int operator[](std::int64_t i) const { return bytes[static_cast<std::size_t>(i)]; }
  /// The number in two bytes, the higher one first.
  [[nodiscard]] int two(std::int64_t i) const { return (*this)[i] << 8 | (*this)[i + 1]; }
  [[nodiscard]] bool has(std::int64_t at, std::string_view text) const {
    if (at < 0 || size() - at < std::ssize(text)) return false;
    for (std::size_t i = 0; i < text.size(); ++i)
      if ((*this)[at + static_cast<std::int64_t>(i)] != static_cast<unsigned char>(text[i])) return false;
    return true;
  }
  /// Throws FileError: the file is no good image of its kind.
  [[noreturn]] void refuse(std::string_view kind, std::string_view why) const {
    fail<FileError>(name, ": damaged ", kind, ": ", why, "; fetch or save it again, or remove it");
  }
  /// Throws FileError: this program was built without what reads such files.
  [[noreturn]] void refuse_without(std::string_view kind, std::string_view library) const {
    fail<FileError>(name, ": this program was built without ", kind, "; configure it with -DLPW_", kind,
                    "=ON, which needs ", library);
  }
};

/// Throws FileError for an image that no reader should take the memory for, which a small file can announce.
inline void require_size(const Encoded& file, std::int64_t height, std::int64_t width, const PictureOptions& options) {
  require<FileError>(height > 0 && width > 0, file.name, ": damaged: it says to have ", width, " x ", height,
                     " pixels");
  require<FileError>(height <= options.most_pixels / width, file.name, ": its header announces ", width, " x ", height,
                     " pixels, more than ", options.most_pixels, ", which `most_pixels` allows; make it smaller");
}

}  // namespace pictures

}  // namespace lpw::inline LPW_ABI::io
