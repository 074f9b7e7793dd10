// Initial weights. Every weight has random numbers of its own, by the order in which a network's constructor asks for
// them.
#pragma once

#include <cmath>

#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Draws a network's initial weights, layer after layer in the order of its constructor.
class Initializer {
 public:
  explicit Initializer(Philox random) : random_(random.stream(Stream::weights)) {}

  /// N(0, deviation^2).
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> normal(const Shape& shape, double deviation = 1) {
    return draw<W, D>(shape,
                      [deviation](const Philox& random, std::uint64_t i) { return deviation * random.normal(i); });
  }

  /// He-normal: N(0, 2 / fan_in) (He et al. 2015), fan_in the number of inputs that one output sums.
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> he_normal(const Shape& shape, std::int64_t fan_in) {
    return normal<W, D>(shape, std::sqrt(2.0 / static_cast<double>(std::max<std::int64_t>(fan_in, 1))));
  }

  /// Uniform in [-bound, bound).
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> uniform(const Shape& shape, double bound) {
    return draw<W, D>(shape,
                      [bound](const Philox& random, std::uint64_t i) { return bound * (2.0 * random.uniform(i) - 1); });
  }

 private:
  template <class W, class D, class Value>
  [[nodiscard]] Tensor<W, D> draw(const Shape& shape, Value value) {
    const Philox random = random_.stream(Stream::weights, step_++);
    Tensor<W, Cpu> host(shape);
    for (std::int64_t i = 0; i < host.size(); ++i)
      host.data()[i] = static_cast<W>(value(random, static_cast<std::uint64_t>(i)));
    return to_device<D>(host);
  }

  Philox random_;
  std::uint32_t step_ = 0;
};

}  // namespace lpw::inline LPW_ABI::nn
