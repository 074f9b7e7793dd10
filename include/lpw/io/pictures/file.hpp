// What decoders of photographs have in common: the file's content with its name, and what is refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <lpw/tensor/error.hpp>

/// @def LPW_PICTURES
/// Which files a program reads, as a part of the names of what reads them: a program may hold files that are compiled
/// with a library and without, whose inline functions would otherwise be one, whichever the linker meets first.
#if defined(LPW_WITH_JPEG) && LPW_WITH_JPEG && defined(LPW_WITH_PNG) && LPW_WITH_PNG
#define LPW_PICTURES jpeg_and_png
#elif defined(LPW_WITH_JPEG) && LPW_WITH_JPEG
#define LPW_PICTURES jpeg
#elif defined(LPW_WITH_PNG) && LPW_WITH_PNG
#define LPW_PICTURES png
#else
#define LPW_PICTURES neither
#endif

namespace lpw::inline LPW_ABI::io {

/// A file that holds no image, or one that is damaged or of a kind that is not read: what a program may leave out. One
/// that cannot be opened, or that this program was built without a reader for, is another FileError.
class NoPicture : public FileError {
 public:
  using FileError::FileError;
};

/// How photographs are read.
struct PictureOptions {
  std::int64_t most_pixels = 100'000'000;  // of a file; a header that says more is refused before memory is taken
  bool upright = true;  // turn a JPEG as its EXIF orientation says (torchvision's ImageFolder doesn't)
};

namespace pictures {

/// A file's content, and the file's name for messages.
struct Encoded {
  std::span<const std::uint8_t> bytes;  // of the file
  const std::string& name;              // of the file, for messages

  /// In bytes.
  [[nodiscard]] std::int64_t size() const { return std::ssize(bytes); }
  /// Byte i.
  [[nodiscard]] int operator[](std::int64_t i) const { return bytes[static_cast<std::size_t>(i)]; }
  /// The number in two bytes, the higher one first.
  [[nodiscard]] int two(std::int64_t i) const { return (*this)[i] << 8 | (*this)[i + 1]; }
  /// Whether this text stands at byte `at`.
  [[nodiscard]] bool has(std::int64_t at, std::string_view text) const {
    if (at < 0 || size() - at < std::ssize(text)) return false;
    for (std::size_t i = 0; i < text.size(); ++i)
      if ((*this)[at + static_cast<std::int64_t>(i)] != static_cast<unsigned char>(text[i])) return false;
    return true;
  }
  /// Throws NoPicture: the file is no good image of its kind.
  [[noreturn]] void refuse(std::string_view kind, std::string_view why) const {
    fail<NoPicture>(name, ": damaged ", kind, ": ", why, "; fetch or save it again, or remove it");
  }
  /// Throws FileError: this program was built without what reads such files.
  [[noreturn]] void refuse_without(std::string_view kind, std::string_view library) const {
    fail<FileError>(name, ": this program was built without ", kind, "; configure it with -DLPW_", kind,
                    "=ON, which needs ", library);
  }
};

/// Throws NoPicture for an image that no reader should take the memory for, which a small file can announce.
inline void require_size(const Encoded& file, std::int64_t height, std::int64_t width, const PictureOptions& options) {
  require<NoPicture>(height > 0 && width > 0, file.name, ": damaged: it says to have ", width, " x ", height,
                     " pixels");
  require<NoPicture>(height <= options.most_pixels / width, file.name, ": its header announces ", width, " x ", height,
                     " pixels, more than ", options.most_pixels, ", which `most_pixels` allows; make it smaller");
}

}  // namespace pictures

}  // namespace lpw::inline LPW_ABI::io
