// Trains a Wide ResNet made of templates, alone and then as members, collapses it, and writes the plain network that is
// left and what it computes, for wide_resnet.py to compare with PyTorch:
//   wide_resnet MODEL OUT DEPTH WIDEN LATE
// OUT is a safetensors file with images [B, H, W, 3] and logits [B, 10].
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/sgd.hpp>

using namespace lpw;

namespace {

using Network = nn::WideResNet<float, Cpu>;

/// Normal pixels; `draw` numbers the minibatch.
Tensor<float, Cpu> make_images(std::int64_t members, std::int64_t batch, std::uint32_t draw) {
  const std::int64_t size = 16;
  Tensor<float, Cpu> images({members, batch, size, size, 3});
  const Philox random(7, Stream::test, draw);
  for (std::int64_t i = 0; i < images.size(); ++i)
    images.data()[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
  return images;
}

Tensor<std::int32_t, Cpu> make_labels(std::int64_t members, std::int64_t batch, std::uint32_t draw) {
  Tensor<std::int32_t, Cpu> labels({members, batch});
  const Philox random(8, Stream::test, draw);
  for (std::int64_t i = 0; i < labels.size(); ++i)
    labels.data()[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(i), 10));
  return labels;
}

template <class Optimizer>
void train(Network& network, Optimizer& optimizer, std::uint32_t first, std::uint32_t steps) {
  const std::int64_t members = nn::members(network), batch = 6;
  for (std::uint32_t draw = first; draw < first + steps; ++draw) {
    Tape tape;
    const auto logits = network.forward(tape.input(make_images(members, batch, draw)));
    tape.backward(cross_entropy(logits, make_labels(members, batch, draw)));
    optimizer.step();
  }
}

void write_collapsed(const std::vector<std::string>& arguments) {
  require(arguments.size() == 5, "usage: wide_resnet MODEL OUT DEPTH WIDEN LATE");
  Network network({.depth = std::stoll(arguments[2]), .widen = std::stoll(arguments[3]), .templates = true}, Philox(1));
  optim::Sgd optimizer(network, {.learning_rate = 0.05, .momentum = 0.9, .late = optim::Rates{0.05, 0}});
  train(network, optimizer, 1, 6);
  release(network, optimizer, {.members = 3, .late = Selectors::parse(arguments[4]), .sigma = 0.2});
  train(network, optimizer, 7, 6);
  collapse(network);
  io::save_safetensors(arguments[0], network);

  const auto images = make_images(1, 20, 0);
  const auto logits = network.forward(Tape::evaluation().input(images)).value();
  io::Safetensors content;
  content.tensors.add("images", images.reshaped(images.shape().slice(1, 5)));
  content.tensors.add("logits", logits.reshaped(logits.shape().slice(1, 3)));
  io::save_safetensors(arguments[1], content);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    write_collapsed({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
