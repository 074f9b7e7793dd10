// What the tests of optimizers share: a network of two weights, and random gradients for its stores.
#pragma once

#include "../catch.hpp"
#include "../late_phase/networks.hpp"

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

  lpw::nn::Parameter<T, Cpu> base{lpw::full<T, Cpu>({1, 7}, T(0.5))};
  lpw::nn::Parameter<T, Cpu> late{lpw::full<T, Cpu>({1, 3}, T(-0.25)), Group::head};
};

/// Puts a random gradient into a store, adding to what is there, and returns it.
template <class T>
Vector add_gradient(lpw::Tensor<T, Cpu>& store, std::uint32_t draw) {
  const Philox random(21, lpw::Stream::test, draw);
  Vector gradient;
  for (std::int64_t i = 0; i < store.size(); ++i) {
    const T value = static_cast<T>(random.normal(static_cast<std::uint64_t>(i)));
    store.data()[i] += value;
    gradient.push_back(double(value));
  }
  return gradient;
}

template <class T>
Vector values(const lpw::Tensor<T, Cpu>& tensor) {
  const auto rows = rows_of(tensor);
  return {rows.values.begin(), rows.values.end()};
}
