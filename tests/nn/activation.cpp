#include <lpw/nn/activation.hpp>

#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/gradient_check.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/pooling.hpp>
#include <lpw/nn/sequential.hpp>
#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
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
  nn::Gelu<float, Cpu> by_erf, by_tanh({.tanh = true});
  CHECK(values_of(by_erf.forward(x).value()) == values_of(gelu(x).value()));
  CHECK(values_of(by_tanh.forward(x).value()) == values_of(gelu(x, {.tanh = true}).value()));
  nn::Silu<float, Cpu> swish;
  CHECK(values_of(swish.forward(x).value()) == values_of(silu(x).value()));
  nn::Sigmoid<float, Cpu> logistic;
  CHECK(values_of(logistic.forward(x).value()) == values_of(sigmoid(x).value()));
  nn::Tanh<float, Cpu> tangent;
  CHECK(values_of(tangent.forward(x).value()) == values_of(tanh(x).value()));
  nn::Flatten<float, Cpu> flat;
  CHECK(flat.forward(x).shape() == Shape{2, 3, 144});
  CHECK(values_of(flat.forward(x).value()) == values_of(tensor));
  CHECK(message_of<ShapeError>([&] {
          (void)flat.forward(tape.input(random_tensor<float>({2, 3}, 1)));
        }) == "Flatten: expected x [K B ...], got [2 3]; K is the axis of the members, 1 for a plain network");
  nn::MaxPool2d<float, Cpu> pool({.kernel_size = 3, .stride = 2, .padding = 1});
  CHECK(values_of(pool.forward(x).value()) == values_of(max_pool2d(x, pool.options).value()));
  nn::GlobalAveragePool<float, Cpu> mean;
  CHECK(values_of(mean.forward(x).value()) == values_of(global_average_pool(x).value()));
  nn::Dropout<float, Cpu> drop(0.25);
  CHECK(values_of(drop.forward(x).value()) == values_of(dropout(again.input(tensor), 0.25).value()));
}

TEST_CASE("modules without options are written as braces in a row", "[activation]") {
  nn::Sequential<nn::Relu<float, Cpu>, nn::Gelu<float, Cpu>, nn::Silu<float, Cpu>, nn::Sigmoid<float, Cpu>,
                 nn::Tanh<float, Cpu>, nn::MaxPool2d<float, Cpu>, nn::AveragePool2d<float, Cpu>,
                 nn::GlobalAveragePool<float, Cpu>>
      row{{}, {}, {}, {}, {}, {}, {}, {}};
  nn::Sequential<nn::Flatten<float, Cpu>> flat{{}};
  const Tape tape({});
  const auto x = tape.input(random_tensor<float>({2, 3, 4, 4, 2}, 1));
  CHECK(row.forward(x).shape() == Shape{2, 3, 2});
  CHECK(flat.forward(x).shape() == Shape{2, 3, 32});
  CHECK(!nn::Gelu<float, Cpu>({}).options.tanh);
  CHECK(nn::MaxPool2d<float, Cpu>({}).forward(x).shape() == Shape{2, 3, 2, 2, 2});
  CHECK(nn::AveragePool2d<float, Cpu>({}).forward(x).shape() == Shape{2, 3, 2, 2, 2});
}

TEST_CASE("modules without weights pass each member's gradient on between layers", "[activation]") {
  nn::Initializer init(Philox{1});
  nn::Sequential network{nn::Conv2d<double, Cpu>({.in_channels = 2, .out_channels = 3, .padding = 1}, init),
                         nn::Gelu<double, Cpu>(),
                         nn::MaxPool2d<double, Cpu>(),
                         nn::Flatten<double, Cpu>(),
                         nn::Linear<double, Cpu>({.in_features = 12, .out_features = 4}, init),
                         nn::Silu<double, Cpu>(),
                         nn::Linear<double, Cpu>({.in_features = 4, .out_features = 3}, init),
                         nn::Tanh<double, Cpu>(),
                         nn::Sigmoid<double, Cpu>()};
  nn::require_gradient("network", network, random_tensor<double>({3, 2, 5, 4, 2}, 2));
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
