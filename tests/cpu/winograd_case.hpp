// A 3x3 convolution by Winograd's algorithm and its operands, for tests of it.
#pragma once

#include <ostream>

#include <lpw/cpu/conv2d.hpp>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

/// A 3x3 convolution and its operands; weights and their gradient strided where there is a row per member.
struct WinogradCase {
  std::int64_t members, rows, batch, height, width, channels, out_channels, padding = 1, stride = 1;
  bool pending = false, relu = false;

  [[nodiscard]] Conv2dOptions options() const { return {.stride = stride, .padding = padding}; }
  [[nodiscard]] Shape x_shape() const { return {members, batch, height, width, channels}; }
  [[nodiscard]] Shape y_shape() const { return {members, batch, extent(height), extent(width), out_channels}; }
  [[nodiscard]] std::int64_t extent(std::int64_t pixels) const { return window_count(pixels, 3, stride, padding); }
  [[nodiscard]] Shape weight_shape() const { return {rows, out_channels, 3, 3, channels}; }
  [[nodiscard]] Conv2dGeometry geometry() const { return conv2d_geometry(x_shape(), weight_shape(), options()); }

  [[nodiscard]] Activation<float, Cpu> x() const {
    Activation<float, Cpu> result{.raw = random_tensor<float>(x_shape(), 1), .relu = relu};
    if (pending) {
      result.mean = random_tensor<float>({members, channels}, 8);
      result.scale = random_tensor<float>({members, channels}, 2);
      result.shift = random_tensor<float>({members, channels}, 3);
    }
    return result;
  }
  [[nodiscard]] Tensor<float, Cpu> weight() const { return random_parameter<float>(weight_shape(), rows > 1, 4); }
  [[nodiscard]] Tensor<float, Cpu> dy() const { return random_tensor<float>(y_shape(), 5); }
};

inline std::ostream& operator<<(std::ostream& out, const WinogradCase& c) {
  return out << "x " << describe(c.x_shape(), "KBHWC") << " weight " << describe(c.weight_shape(), "KOhwC")
             << " padding " << c.padding << " stride " << c.stride << (c.pending ? " pending" : "")
             << (c.relu ? " relu" : "");
}

// Uneven tiles at the edges; more tiles than one block of the kernel's gradient holds; two members.
inline const WinogradCase uneven_tiles{.members = 2,
                                       .rows = 1,
                                       .batch = 33,
                                       .height = 13,
                                       .width = 16,
                                       .channels = 16,
                                       .out_channels = 32,
                                       .pending = true,
                                       .relu = true};

}  // namespace lpw::test
