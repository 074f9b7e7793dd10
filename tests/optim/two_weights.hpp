// What the tests of optimizers share: a network of two weights, and random gradients for its stores.
#pragma once

#include "catch.hpp"
#include "support/networks.hpp"

namespace lpw::test {

using Vector = std::vector<double>;

/// A module of a base weight and one that release makes late-phase.
template <class T>
struct TwoWeights {
  using value_type = T;
  using device_type = Cpu;

  template <class F>
  void visit(F&& f) {
    f("base", base);
    f("late", late);
  }

  nn::Parameter<T, Cpu> base{full<T, Cpu>({1, 7}, T(0.5))};
  nn::Parameter<T, Cpu> late{full<T, Cpu>({1, 3}, T(-0.25)), Group::head};
};

/// Puts a random gradient into a store, adding to what is there, and returns it.
template <class T>
Vector add_gradient(Tensor<T, Cpu>& store, std::uint32_t draw) {
  const auto gradient = normal_tensor<T>(store.shape(), Philox(21, Stream::test, draw));
  for (std::int64_t i = 0; i < store.size(); ++i) store.data()[i] += gradient.data()[i];
  return values_of(gradient);
}

template <class T>
Vector values(const Tensor<T, Cpu>& tensor) {
  return values_of(tensor);
}

}  // namespace lpw::test
