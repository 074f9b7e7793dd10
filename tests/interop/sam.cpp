// Trains a small network inside SAM, for sam.py to compare with PyTorch:
//   sam OUT
// OUT is a safetensors file of doubles: inputs [steps, B, 6], labels [steps, B], the first weights "start.<name>", and
// for each variant of sam.py the last ones "<variant>.<name>". The network is linear, ReLU, linear.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sam.hpp>

using namespace lpw;

namespace {

constexpr std::int64_t steps = 20, batch = 8, features = 6, hidden = 12, classes = 4;

struct Network {
  using value_type = double;
  using device_type = Cpu;

  explicit Network(nn::Initializer init = nn::Initializer(Philox(7)))
      : hidden_layer({.in_features = features, .out_features = hidden}, init),
        head({.in_features = hidden, .out_features = classes}, init) {}
  Variable<double, Cpu> forward(const Variable<double, Cpu>& x) { return head.forward(relu(hidden_layer.forward(x))); }
  template <class F>
  void visit(F&& f) {
    f("hidden", hidden_layer);
    f("head", head);
  }

  nn::Linear<double, Cpu> hidden_layer, head;
};

void add_weights(io::NamedTensors& to, const std::string& prefix, Network& network) {
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    to.add(prefix + '.' + name, clone(parameter.value()).reshaped(parameter.shape()));
  });
}

void write_trajectories(const std::string& path) {
  Tensor<double, Cpu> inputs({steps, batch, features});
  Tensor<std::int32_t, Cpu> labels({steps, batch});
  const Philox random(3, Stream::test);
  for (std::int64_t i = 0; i < inputs.size(); ++i) inputs.data()[i] = random.normal(static_cast<std::uint64_t>(i));
  for (std::int64_t i = 0; i < labels.size(); ++i)
    labels.data()[i] = static_cast<std::int32_t>(random.later(1).below(static_cast<std::uint64_t>(i), classes));
  io::Safetensors content;
  content.tensors.add("inputs", inputs);
  content.tensors.add("labels", labels);
  Network start;
  add_weights(content.tensors, "start", start);
  const auto train = [&](const std::string& variant, const optim::OptimizerOptions& inner,
                         const optim::SamOptions& options) {
    Network network;
    const auto optimizer = optim::make_optimizer(network, inner);
    optim::Sam sam(*optimizer, options);
    for (std::int64_t step = 0; step < steps; ++step)
      sam.step([&] {
        Tape tape;
        tape.backward(cross_entropy(network.forward(tape.input(inputs.rows(step, 1))), labels.rows(step, 1)));
      });
    add_weights(content.tensors, variant, network);
  };
  const optim::OptimizerOptions sgd = optim::SgdOptions{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 1e-2};
  const optim::OptimizerOptions adamw =
      optim::AdamOptions{.learning_rate = 0.01, .epsilon = 1e-3, .weight_decay = 0.1, .decoupled = true};
  train("sgd", sgd, {.rho = 0});
  train("sam_sgd", sgd, {.rho = 0.2});
  train("asam_sgd", sgd, {.rho = 1, .adaptive = true, .eta = 0.05});
  train("sam_adamw", adamw, {.rho = 0.2});
  io::save_safetensors(path, content);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 2, "usage: sam OUT");
    write_trajectories(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
