// Trains a multilayer perceptron and a small convolutional network for a few steps and prints their losses: whatever
// compiler, standard and flags it was built with, they are the same but for rounding.
#include <algorithm>
#include <cstdio>
#include <lpw/lpw.hpp>

namespace {

using namespace lpw;

template <class Network>
bool train(const char* name, Network network, const Tensor<float, Cpu>& inputs) {
  optim::Sgd optimizer(network, {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 1e-4});
  Tensor<std::int32_t, Cpu> labels({1, inputs.dim(1)});
  for (std::int64_t i = 0; i < labels.size(); ++i) labels.data()[i] = static_cast<std::int32_t>(i % 4);
  float first = 0, last = 0;
  std::printf("%s", name);
  for (int step = 0; step < 6; ++step) {
    if (step == 3) release(network, optimizer, {.members = 2, .late = Group::head});
    const std::int64_t members = nn::members(network);
    Tensor<float, Cpu> batch(inputs.shape().with(0, members));
    Tensor<std::int32_t, Cpu> targets({members, inputs.dim(1)});
    for (std::int64_t k = 0; k < members; ++k) {
      std::copy(inputs.data(), inputs.data() + inputs.size(), batch.row(k));
      std::copy(labels.data(), labels.data() + labels.size(), targets.row(k));
    }
    Tape tape;
    const auto loss = cross_entropy(network.forward(tape.input(batch)), targets);
    last = loss.value().data()[members - 1];
    if (step == 0) first = last;
    std::printf(" %.4f", static_cast<double>(last));
    tape.backward(loss);
    optimizer.step();
  }
  collapse(network);
  std::printf("\n");
  return last < first;  // false for NaN
}

/// Bytes that a text's windows hold.
std::int64_t read_text() {
  const data::Text text(100, 'a');
  data::TextLoader<Cpu> loader(text, 7);
  std::int64_t bytes = 0;
  for (const auto& [inputs, targets] : loader.epoch(1, 3)) bytes += std::min(inputs.size(), targets.size());
  return bytes;
}

}  // namespace

int main() {
  if (read_text() != 3 * 32) return 1;
  nn::Initializer init(Philox{7});
  const auto images = init.normal<float, Cpu>({1, 8, 8, 8, 16});
  // In braces: in parentheses each compiler makes the arguments, and draws their weights, in an order of its own.
  const nn::Sequential convolutional{
      nn::Conv2d<float, Cpu>({.in_channels = 16, .out_channels = 16, .padding = 1}, init),
      nn::BatchNorm<float, Cpu>(16, {.relu = true}), nn::GlobalAveragePool<float, Cpu>(),
      nn::Linear<float, Cpu>({.in_features = 16, .out_features = 4, .head = true}, init)};
  const nn::Sequential perceptron{nn::Linear<float, Cpu>({.in_features = 24, .out_features = 32}, init),
                                  nn::Relu<float, Cpu>(),
                                  nn::Linear<float, Cpu>({.in_features = 32, .out_features = 4, .head = true}, init)};
  const bool trained = train("convolutional", convolutional, images);
  return train("perceptron", perceptron, init.normal<float, Cpu>({1, 16, 24})) && trained ? 0 : 1;
}
