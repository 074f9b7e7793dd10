// A photograph as it comes from its file: of any size, in the layout that decoders write and resizing reads fastest.
#pragma once

#include <cstdint>
#include <vector>

#include <lpw/tensor/abi.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// Red, green, blue and a byte that nobody reads, of H x W pixels.
struct Picture {
  static constexpr std::int64_t channels = 4;  // bytes of a pixel
  std::int64_t height = 0, width = 0;          // in pixels
  std::vector<std::uint8_t> pixels;            // [H, W, 4]

  Picture() = default;
  /// Black, of H x W pixels.
  Picture(std::int64_t h, std::int64_t w) : height(h), width(w), pixels(to_size(h * w * channels)) {}

  /// The pixels [W, 4] of a row.
  [[nodiscard]] const std::uint8_t* row(std::int64_t y) const { return pixels.data() + y * width * channels; }
  /// The same, to be written.
  [[nodiscard]] std::uint8_t* row(std::int64_t y) { return pixels.data() + y * width * channels; }
};

/// The rows [top, top + height) of the columns [left, left + width) of an image.
struct Box {
  std::int64_t top = 0, left = 0;      // its first row and column
  std::int64_t height = 0, width = 0;  // in pixels
  [[nodiscard]] bool operator==(const Box&) const = default;
};

}  // namespace lpw::inline LPW_ABI::data
