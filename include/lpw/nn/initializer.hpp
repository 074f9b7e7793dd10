// Initial weights. Every weight has random numbers of its own, by the order in which a network's constructor asks for them.
#pragma once

#include <cmath>

#include <lpw/nn/parameter.hpp>

namespace lpw::nn {

class Initializer {
 public:
  explicit Initializer(Philox random) : random_(random.stream(Stream::weights)) {}

  /// He-normal: N(0, 2 / fan_in) (He et al. 2015), fan_in the number of inputs that one output sums.
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> he_normal(const Shape& shape, std::int64_t fan_in) {
    const Philox random = random_.stream(Stream::weights, step_++);
    const double deviation = std::sqrt(2.0 / static_cast<double>(std::max<std::int64_t>(fan_in, 1)));
    Tensor<W, Cpu> host(shape);
    for (std::int64_t i = 0; i < host.size(); ++i)
      host.data()[i] = static_cast<W>(deviation * random.normal(static_cast<std::uint64_t>(i)));
    return to_device<D>(host);
  }

 private:
  Philox random_;
  std::uint32_t step_ = 0;
};

}  // namespace lpw::nn
