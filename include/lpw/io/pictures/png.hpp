// PNG files, decoded by libpng through its simplified interface, which reports errors by returning. Programs link
// lpw::images. Every kind becomes 8-bit colour: greyscale, palettes, interlaced; 16 bits are rounded; transparency is
// left out, as Pillow's convert("RGB") does, not laid over a background.
#pragma once

#include <string>

#include <lpw/data/picture.hpp>
#include <lpw/io/pictures/file.hpp>

#if defined(LPW_WITH_PNG) && LPW_WITH_PNG
#include <png.h>
#endif

namespace lpw::inline LPW_ABI::io::pictures {

#if defined(LPW_WITH_PNG) && LPW_WITH_PNG
inline namespace LPW_PICTURES {

/// Whether this program reads PNG files.
inline constexpr bool reads_png = true;

/// Throws NoPicture, naming the file, for one that is damaged.
[[nodiscard]] inline data::Picture read_png(const Encoded& file, const PictureOptions& options) {
  struct Image : png_image {
    Image() : png_image{} { version = PNG_IMAGE_VERSION; }
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;
    ~Image() { png_image_free(this); }
  } image;
  if (png_image_begin_read_from_memory(&image, file.bytes.data(), file.bytes.size()) == 0)
    file.refuse("PNG", image.message);
  require_size(file, image.height, image.width, options);
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // as those of 8 bits are, where the file does not say
  data::Picture picture(image.height, image.width);
  if (png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr) == 0) file.refuse("PNG", image.message);
  return picture;
}

}  // namespace LPW_PICTURES

#else
inline namespace LPW_PICTURES {

/// Whether this build reads PNG files.
inline constexpr bool reads_png = false;

/// Throws FileError, which says how to have what it needs.
[[nodiscard]] inline data::Picture read_png(const Encoded& file, const PictureOptions&) {
  file.refuse_without("PNG", "libpng (libpng-dev)");
}

}  // namespace LPW_PICTURES
#endif

}  // namespace lpw::inline LPW_ABI::io::pictures
