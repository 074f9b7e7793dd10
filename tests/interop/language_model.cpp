// Writes what a saved language model computes, for language_model.py to compare with PyTorch:
//   language_model MODEL OUT HIDDEN LAYERS EMBEDDING
// OUT is a safetensors file with bytes [T, B] and logits [T, B, 256] from states of zeros.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <lpw/io/model.hpp>
#include <lpw/models/language_model.hpp>

using namespace lpw;

namespace {

void write_logits(const std::vector<std::string>& arguments) {
  require(arguments.size() == 5, "usage: language_model MODEL OUT HIDDEN LAYERS EMBEDDING");
  nn::LanguageModel<float, Cpu> network(
      {.hidden = std::stoll(arguments[2]), .layers = std::stoll(arguments[3]), .embedding = std::stoll(arguments[4])},
      Philox(0));
  io::load_safetensors(arguments[0], network);
  const std::int64_t steps = 40, batch = 3;
  Tensor<std::int32_t, Cpu> bytes({1, steps, batch});
  for (std::int64_t i = 0; i < bytes.size(); ++i)
    bytes.data()[i] = static_cast<std::int32_t>(Philox(7, Stream::test).below(static_cast<std::uint64_t>(i), 256));
  const auto logits = network.forward(Tape::evaluation().input(bytes), network.start(1, batch)).logits.value();
  io::Safetensors content;
  content.tensors.add("bytes", bytes.reshaped({steps, batch}));
  content.tensors.add("logits", logits.reshaped({steps, batch, 256}));
  io::save_safetensors(arguments[1], content);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    write_logits({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
