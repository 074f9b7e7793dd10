#include <lpw/nn/activation.hpp>

#include <lpw/nn/module.hpp>
#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("modules without weights do what their operations do", "[activation]") {
  static_assert(nn::Module<nn::Relu<float, Cpu>> && nn::Module<nn::Dropout<float, Cpu>>);
  static_assert(nn::Module<nn::MaxPool2d<float, Cpu>> && nn::Module<nn::GlobalAveragePool<float, Cpu>>);
  const Tape tape({.random = Philox(1, Stream::dropout)}), again({.random = Philox(1, Stream::dropout)});
  const auto tensor = random_tensor<float>({2, 3, 6, 6, 4}, 1);
  const auto x = tape.input(tensor);
  nn::Relu<float, Cpu> rectifier;
  CHECK(values_of(rectifier.forward(x).value()) == values_of(relu(x).value()));
  nn::MaxPool2d<float, Cpu> pool({.kernel_size = 3, .stride = 2, .padding = 1});
  CHECK(values_of(pool.forward(x).value()) == values_of(max_pool2d(x, pool.options).value()));
  nn::GlobalAveragePool<float, Cpu> mean;
  CHECK(values_of(mean.forward(x).value()) == values_of(global_average_pool(x).value()));
  nn::Dropout<float, Cpu> drop(0.25);
  CHECK(values_of(drop.forward(x).value()) == values_of(dropout(again.input(tensor), 0.25).value()));
}

TEST_CASE("Dropout is active in training alone and refuses impossible rates", "[activation]") {
  nn::Dropout<float, Cpu> drop(0.5);
  const auto x = random_tensor<float>({1, 100}, 1);
  const Tape training({.random = Philox(1, Stream::dropout)}), evaluation = Tape::evaluation();
  CHECK(values_of(drop.forward(training.input(x)).value()) != values_of(x));
  CHECK_THROWS_AS(drop.forward(Tape().input(x)),
                  OptionError);  // the same mask in every iteration would freeze a part of the network
  CHECK(values_of(drop.forward(evaluation.input(x)).value()) == values_of(x));
  CHECK_THROWS_WITH((nn::Dropout<float, Cpu>(1.0)), "Dropout: rate 1 is outside [0, 1)");
}
