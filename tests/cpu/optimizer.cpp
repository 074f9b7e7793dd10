#include <lpw/cpu/optimizer.hpp>

#include "cpu/support.hpp"
#include "threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Weights, gradients as they are set before each step, and momenta.
template <class W>
struct State {
  Tensor<W, Cpu> weight = random_tensor<W>({1, 37}, 1), gradient = zeros<W, Cpu>({1, 37}), velocity = zeros<W, Cpu>({1, 37});

  void set_gradient(std::uint32_t step) { gradient = random_tensor<W>({1, 37}, 10 + step); }
};

}  // namespace

TEMPLATE_TEST_CASE("sgd_step follows the update rule", "[optimizer]", float, double) {
  for (const SgdStep& step :
       {SgdStep{.learning_rate = 0.1}, SgdStep{.learning_rate = 0.1, .momentum = 0.9},
        SgdStep{.learning_rate = 0.1, .momentum = 0.9, .nesterov = true},
        SgdStep{.learning_rate = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01, .gradient_scale = 0.25}}) {
    INFO("momentum " << step.momentum << " nesterov " << step.nesterov << " decay " << step.weight_decay << " scale "
                     << step.gradient_scale);
    State<TestType> state;
    auto w = values_of(state.weight), v = values_of(state.velocity);
    constexpr int steps = 6;
    for (std::uint32_t t = 0; t < steps; ++t) {
      state.set_gradient(t);
      const auto gradient = values_of(state.gradient);
      for (std::size_t i = 0; i < w.size(); ++i) {
        const double g = step.gradient_scale * gradient[i] + step.weight_decay * w[i];
        v[i] = step.momentum * v[i] + g;
        w[i] -= step.learning_rate * (step.nesterov ? g + step.momentum * v[i] : v[i]);
      }
      sgd_step(state.weight, state.gradient, state.velocity, step);
      CHECK(values_of(state.gradient) == std::vector<double>(37, 0));
    }
    // Per step some ten roundings of values below 6.
    const auto weight = values_of(state.weight), velocity = values_of(state.velocity);
    for (std::size_t i = 0; i < w.size(); ++i) {
      REQUIRE(std::abs(weight[i] - w[i]) <= steps * 60 * epsilon<TestType>());
      REQUIRE(std::abs(velocity[i] - v[i]) <= steps * 60 * epsilon<TestType>());
    }
  }
}

TEST_CASE("sgd_step gives the same bits on any number of threads", "[optimizer]") {
  CHECK(same_on_any_threads([&] {
    const Shape shape{1, 40001};
    auto weight = random_tensor<float>(shape, 1), gradient = random_tensor<float>(shape, 2), velocity = random_tensor<float>(shape, 3);
    sgd_step(weight, gradient, velocity, {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4});
    return std::vector{values_of(weight), values_of(velocity), values_of(gradient)};
  }));
}

TEST_CASE("sgd_step of an empty store does nothing", "[optimizer]") {
  Tensor<float, Cpu> weight({3, 0}), gradient({3, 0}), velocity({3, 0});
  CHECK_NOTHROW(sgd_step(weight, gradient, velocity, {}));
}
