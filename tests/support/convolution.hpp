// A convolution by its definition: every product of an input and a weight, with all options.
#pragma once

#include <lpw/primitives/conv2d.hpp>

namespace lpw::test {

/// Calls visit(index in x, in weight, in y) for every product of a convolution of x [K, B, H, W, C] with weight
/// [1 or K, O, kh, kw, C / groups] to y [K, B, Ho, Wo, O].
template <class Visit>
void for_each_product(const Shape& x, const Shape& weight, const Conv2dOptions& options, const Shape& y,
                      Visit&& visit) {
  const std::int64_t channels = weight[4], outputs = weight[1] / options.groups;
  std::int64_t out = 0;
  for (std::int64_t image = 0; image < y[0] * y[1]; ++image)
    for (std::int64_t i = 0; i < y[2]; ++i)
      for (std::int64_t j = 0; j < y[3]; ++j)
        for (std::int64_t o = 0; o < weight[1]; ++o, ++out)
          for (std::int64_t u = 0; u < weight[2]; ++u)
            for (std::int64_t v = 0; v < weight[3]; ++v) {
              const std::int64_t row = i * options.stride.height - options.padding.height + u * options.dilation.height,
                                 column = j * options.stride.width - options.padding.width + v * options.dilation.width;
              if (row < 0 || row >= x[2] || column < 0 || column >= x[3]) continue;
              const std::int64_t in = ((image * x[2] + row) * x[3] + column) * x[4] + o / outputs * channels;
              const std::int64_t of = weight[0] == 1 ? 0 : image / y[1];
              const std::int64_t w = (((of * weight[1] + o) * weight[2] + u) * weight[3] + v) * channels;
              for (std::int64_t c = 0; c < channels; ++c) visit(in + c, w + c, out);
            }
}

}  // namespace lpw::test
