// Average pooling by its definition: every pixel that a window reads, and what its sum is divided by.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include <lpw/primitives/average_pooling.hpp>

namespace lpw::test {

/// Of one axis: for each output the positions that it reads, and what its sum is divided by.
using WindowTable = std::vector<std::pair<std::vector<std::int64_t>, std::int64_t>>;

[[nodiscard]] inline WindowTable window_table(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                              std::int64_t stride, std::int64_t padding, bool count_padding) {
  WindowTable table;
  for (std::int64_t o = 0; o < out; ++o) {
    auto& [read, count] = table.emplace_back();
    for (std::int64_t at = o * stride - padding; at < o * stride - padding + kernel; ++at) {
      const bool inside = at >= 0 && at < in;
      if (inside) read.push_back(at);
      count += inside || (count_padding && at < in + padding);
    }
  }
  return table;
}
[[nodiscard]] inline WindowTable adaptive_table(std::int64_t in, std::int64_t out) {
  WindowTable table;
  const double share = static_cast<double>(in) / static_cast<double>(out);
  for (std::int64_t o = 0; o < out; ++o) {
    auto& [read, count] = table.emplace_back();
    for (std::int64_t at = 0; at < in; ++at)  // a pixel [at, at + 1) that the share [o, o + 1) in / out touches
      if (static_cast<double>(at + 1) > static_cast<double>(o) * share + 1e-9 &&
          static_cast<double>(at) < static_cast<double>(o + 1) * share - 1e-9)
        read.push_back(at);
    count = std::ssize(read);
  }
  return table;
}

/// A pooling of images and its definition.
struct AverageCase {
  AverageWindows windows;
  WindowTable height, width;
};

/// Pools of images of height x width pixels: windows side by side, overlapping, with gaps, past the border, with and
/// without the padding counted; and adaptive ones, smaller and larger than the image.
[[nodiscard]] inline std::vector<AverageCase> average_cases(std::int64_t height, std::int64_t width) {
  const Shape image{1, 1, height, width, 1};
  std::vector<AverageCase> cases;
  for (const bool counted : {true, false})
    for (const AveragePoolOptions& o : {AveragePoolOptions{},
                                        {.kernel_size = 3, .stride = 2, .padding = 1},
                                        {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
                                        {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
                                        {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true},
                                        {.kernel_size = {5, 1}, .stride = {2, 3}, .padding = {2, 0}}}) {
      AveragePoolOptions options = o;
      options.count_include_pad = counted;
      const PoolOptions pool = options.windows();
      const PerAxis out = pool.count({height, width}), step = pool.step();
      cases.push_back({average_windows(image, options),
                       window_table(height, out.height, o.kernel_size.height, step.height, o.padding.height, counted),
                       window_table(width, out.width, o.kernel_size.width, step.width, o.padding.width, counted)});
    }
  for (const PerAxis out : {PerAxis(1), PerAxis(2, 3), PerAxis(height, width), PerAxis(height + 2, 2 * width)})
    cases.push_back(
        {adaptive_windows(image, out), adaptive_table(height, out.height), adaptive_table(width, out.width)});
  return cases;
}

/// Calls visit(index in x, index in y, count) for every pixel that a mean of x [K, B, H, W, C] reads.
template <class Visit>
void for_each_term(const AverageCase& c, const Shape& x, Visit&& visit) {
  std::int64_t out = 0;
  for (std::int64_t image = 0; image < x[0] * x[1]; ++image)
    for (const auto& [rows, high] : c.height)
      for (const auto& [columns, wide] : c.width)
        for (std::int64_t channel = 0; channel < x[4]; ++channel, ++out)
          for (const std::int64_t row : rows)
            for (const std::int64_t column : columns)
              visit(((image * x[2] + row) * x[3] + column) * x[4] + channel, out, high * wide);
}

}  // namespace lpw::test
