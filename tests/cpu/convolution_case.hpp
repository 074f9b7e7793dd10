// A convolution and its operands, held against the definition in double.
#pragma once

#include <lpw/cpu/conv2d.hpp>

#include "catch.hpp"
#include "support/convolution.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"

namespace lpw::test {

struct ConvolutionCase {
  std::int64_t members, rows, batch, height, width, channels, out_channels, kernel_height, kernel_width;
  Conv2dOptions options;
  bool strided = false, pending = false, relu = false;

  [[nodiscard]] Shape x() const { return {members, batch, height, width, channels}; }
  [[nodiscard]] Shape weight() const {
    return {rows, out_channels, kernel_height, kernel_width, channels / options.groups};
  }
  [[nodiscard]] Shape y() const {
    const auto& o = options;
    return {members, batch, window_count(height, kernel_height, o.stride.height, o.padding.height, o.dilation.height),
            window_count(width, kernel_width, o.stride.width, o.padding.width, o.dilation.width), out_channels};
  }
};

inline std::ostream& operator<<(std::ostream& out, const ConvolutionCase& c) {
  return out << "x " << describe(c.x(), "KBHWC") << " weight " << describe(c.weight(), "KOhwC") << " stride "
             << c.options.stride << " padding " << c.options.padding << " dilation " << c.options.dilation << " groups "
             << c.options.groups << (c.strided ? " strided" : "") << (c.pending ? " pending" : "")
             << (c.relu ? " relu" : "");
}

/// Calls visit(index in x, in weight, in y) for every product of the convolution's definition.
template <class Visit>
void for_each_product(const ConvolutionCase& c, Visit&& visit) {
  for_each_product(c.x(), c.weight(), c.options, c.y(), visit);
}

template <class T>
Activation<T, Cpu> random_activation(const ConvolutionCase& c) {
  using W = Accumulate<T>;
  Activation<T, Cpu> x{.raw = random_tensor<T>(c.x(), 1), .relu = c.relu};
  if (c.pending) {
    x.mean = random_tensor<W>({c.members, c.channels}, 4);
    x.scale = random_tensor<W>({c.members, c.channels}, 2);
    x.shift = random_tensor<W>({c.members, c.channels}, 3);
  }
  return x;
}

/// The activation's values by their definition: relu?(scale (x - mean) + shift), rounded to T.
template <class T>
std::vector<double> activated(const ConvolutionCase& c, const Activation<T, Cpu>& x) {
  using W = Accumulate<T>;
  auto values = values_of(x.raw);
  if (!c.pending) return values;
  const std::int64_t member = c.x().size_from(1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t k = static_cast<std::int64_t>(i) / member, channel = static_cast<std::int64_t>(i) % c.channels;
    const W z = std::fma(W(values[i]) - x.mean.row(k)[channel], x.scale.row(k)[channel], x.shift.row(k)[channel]);
    values[i] = double(T(c.relu && z < W(0) ? W(0) : z));
  }
  return values;
}

template <class T>
void check_forward(const ConvolutionCase& c) {
  const auto x = random_activation<T>(c);
  const auto weight = random_parameter<Accumulate<T>>(c.weight(), c.strided, 4);
  const auto in = activated(c, x), w = values_of(weight);
  Expected expected(c.y().size());
  expected.terms = static_cast<double>(weight.shape().size_from(2));
  for_each_product(c, [&](auto i, auto j, auto out) { expected.add(out, in[i] * w[j]); });
  const auto y = conv2d_forward(x, weight, c.options);
  CHECK(y.shape() == c.y());
  CHECK(mismatch<T>(y, expected) == "");
}

template <class T>
void check_backward_data(const ConvolutionCase& c, bool accumulate) {
  const auto weight = random_parameter<Accumulate<T>>(c.weight(), c.strided, 4);
  const auto dy = random_tensor<T>(c.y(), 5);
  const auto d = values_of(dy), w = values_of(weight);
  Gradient<T, Cpu> dx{random_tensor<T>(c.x(), 6), accumulate};
  Expected expected(dx.tensor, accumulate);
  expected.terms = static_cast<double>(c.out_channels / c.options.groups * c.kernel_height * c.kernel_width + 1);
  for_each_product(c, [&](auto i, auto j, auto out) { expected.add(i, d[out] * w[j]); });
  conv2d_backward_data(dy, weight, c.options, dx);
  CHECK(mismatch<T>(dx.tensor, expected) == "");
}

template <class T>
void check_backward_weight(const ConvolutionCase& c, bool accumulate) {
  const auto x = random_activation<T>(c);
  const auto dy = random_tensor<T>(c.y(), 5);
  const auto in = activated(c, x), d = values_of(dy);
  Gradient<Accumulate<T>, Cpu> dweight{random_parameter<Accumulate<T>>(c.weight(), c.strided, 7), accumulate};
  Expected expected(dweight.tensor, accumulate);
  expected.terms = static_cast<double>(c.y().size() / c.out_channels + 1);
  for_each_product(c, [&](auto i, auto j, auto out) { expected.add(j, in[i] * d[out]); });
  conv2d_backward_weight(x, dy, c.options, dweight);
  // The products are exact in float and the gradient is stored in it, so bfloat16 is as exact as float here.
  CHECK(mismatch<Accumulate<T>>(dweight.tensor, expected) == "");
  CHECK(gaps_untouched(dweight.tensor));
}

template <class T>
void check_all(const ConvolutionCase& c) {
  INFO(c);
  check_forward<T>(c);
  for (const bool accumulate : {false, true}) {
    INFO("accumulate " << accumulate);
    check_backward_data<T>(c, accumulate);
    check_backward_weight<T>(c, accumulate);
  }
}

}  // namespace lpw::test
