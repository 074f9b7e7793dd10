// Files of photographs for the tests of this folder, made by the libraries that read them.
#pragma once

#include <lpw/data/picture.hpp>
#include <lpw/io/picture.hpp>

#include <cmath>
#include <cstdint>
#include <string>

#if LPW_WITH_JPEG && LPW_WITH_PNG

namespace lpw::test {

/// A picture that JPEG keeps nearly as it is.
[[nodiscard]] inline data::Picture smooth_picture(std::int64_t height, std::int64_t width, double phase = 0) {
  data::Picture picture(height, width);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 4; ++c)
        picture.row(y)[4 * x + c] = static_cast<std::uint8_t>(
            127 + 100 * std::sin(phase + 0.06 * static_cast<double>(y) + 0.04 * static_cast<double>(x) + c));
  return picture;
}

[[nodiscard]] inline std::string png_of(const data::Picture& picture, png_uint_32 format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = format;
  std::vector<std::uint8_t> pixels;
  const std::size_t channels = PNG_IMAGE_PIXEL_CHANNELS(format);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    if (i % 4 < channels) pixels.push_back(picture.pixels[i]);
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

[[nodiscard]] inline std::string jpeg_of(const data::Picture& picture, int subsampling = TJSAMP_444,
                                         int format = TJPF_RGBX) {
  const tjhandle handle = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  tjCompress2(handle, picture.pixels.data(), static_cast<int>(picture.width), 0, static_cast<int>(picture.height),
              format, &bytes, &size, subsampling, 98, 0);
  const std::string result(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(handle);
  return result;
}

/// A JPEG with an EXIF segment, which says no more.
[[nodiscard]] inline std::string with_orientation(const std::string& jpeg, int orientation) {
  const std::string segment = std::string("\xff\xe1\0\x22", 4) + std::string("Exif\0\0", 6) +
                              std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) +
                              static_cast<char>(orientation) + std::string(6, '\0');
  return jpeg.substr(0, 2) + segment + jpeg.substr(2);
}

/// Where a baseline JPEG's frame header begins, behind its marker.
[[nodiscard]] inline std::size_t frame_of(const std::string& jpeg) { return jpeg.find("\xff\xc0") + 2; }

}  // namespace lpw::test

#endif
