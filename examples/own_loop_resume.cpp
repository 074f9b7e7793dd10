// A loop of one's own that can be killed at any time and goes on where its last checkpoint was, to the same bits.
// Usage:
//   own_loop_resume [FOLDER]     FOLDER, which is made, holds checkpoint.lpw and at last model.safetensors
// A run is a function of its weights, its optimizer's state and where it stands: data and all else that is random
// depend on the epoch alone. So a checkpoint holds the flat stores of weights, momentum and running statistics, and two
// numbers.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include <lpw/lpw.hpp>

namespace {

using Network = lpw::nn::WideResNet<float, lpw::Cpu>;
using Optimizer = lpw::optim::Sgd<float, lpw::Cpu>;
constexpr std::int64_t epochs = 6, release_epoch = 3;
const lpw::ReleaseOptions release_options{
    .members = 3, .late = lpw::Group::batch_norm | lpw::Group::head, .sigma = 0.05};

/// Every tensor of a run by its name; f(name, tensor) reads or writes.
template <class F>
void for_each_tensor(Network& network, Optimizer& optimizer, F&& f) {
  const auto flat = lpw::nn::flatten(network);
  const auto pair = [&](const std::string& name, auto& tensors) {
    f(name + ".base", tensors.base), f(name + ".late", tensors.late);
  };
  pair("weights", flat->value);
  for (auto& [name, tensors] : optimizer.states()) pair(name, tensors);
  f("buffers", flat->buffers);
}

/// Written whole or not at all: after a kill in here, the checkpoint of before is there.
void save(const std::filesystem::path& path, Network& network, Optimizer& optimizer, std::int64_t epoch) {
  const auto steps = optimizer.steps();
  lpw::io::Checkpoint checkpoint{{{"epoch", epoch}, {"base steps", steps.base}, {"late steps", steps.late}},
                                 lpw::io::NamedTensors("checkpoint")};
  for_each_tensor(network, optimizer,
                  [&](const std::string& name, auto& tensor) { checkpoint.tensors.add(name, tensor); });
  lpw::io::save_checkpoint(path, checkpoint);
}

/// Returns the epoch to train next. A network that was released is released first, so that there is room for its
/// members.
std::int64_t load(const std::filesystem::path& path, Network& network, Optimizer& optimizer) {
  const auto checkpoint = lpw::io::load_checkpoint(path);
  const auto epoch = checkpoint.meta.at("epoch").get<std::int64_t>();
  if (epoch > release_epoch) lpw::release(network, optimizer, release_options);
  for_each_tensor(network, optimizer,
                  [&](const std::string& name, auto& tensor) { checkpoint.tensors.copy_to(name, tensor); });
  optimizer.set_steps(
      {checkpoint.meta.at("base steps").get<std::int64_t>(), checkpoint.meta.at("late steps").get<std::int64_t>()});
  return epoch;
}

void train_epoch(Network& network, Optimizer& optimizer, const lpw::data::Loader<float>& train, std::int64_t epoch) {
  for (auto& [images, labels] : train.epoch(epoch, lpw::nn::members(network))) {
    lpw::Tape tape;
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);
    lpw::require_finite(loss);
    tape.backward(loss);
    optimizer.step();
  }
  lpw::nn::require_finite(network);  // no checkpoint is to hold what cannot go on
}

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path folder = argc > 1 ? argv[1] : "own_loop_run";
  const auto checkpoint = folder / "checkpoint.lpw";
  std::filesystem::create_directories(folder);

  const auto data = lpw::data::synthetic({}, {.train = 400, .test = 100});
  const lpw::data::Loader<float> train(data.train, data.normalization,
                                       {.batch = 20, .augment = lpw::data::pad_crop_flip});
  Network network({.depth = 10, .widen = 1, .classes = 10}, lpw::Philox{1});
  Optimizer optimizer(network, {.learning_rate = 0.05, .momentum = 0.9});

  std::int64_t epoch = std::filesystem::exists(checkpoint) ? load(checkpoint, network, optimizer) : 0;
  std::printf(epoch == 0 ? "starting\n" : "going on after epoch %d\n", int(epoch));
  for (; epoch < epochs; ++epoch) {
    if (epoch == release_epoch) lpw::release(network, optimizer, release_options);
    train_epoch(network, optimizer, train, epoch);
    save(checkpoint, network, optimizer, epoch + 1);
    std::printf("epoch %d of %d, %d members\n", int(epoch + 1), int(epochs), int(lpw::nn::members(network)));
    std::fflush(stdout);
  }
  lpw::collapse(network);
  lpw::io::save_safetensors(folder / "model.safetensors", network);
  std::printf("saved %s\n", (folder / "model.safetensors").c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_loop_resume: %s\n", error.what());
  return 1;
}
