// The trainer over processes that have a GPU each: what it trains in one, by steps that are captured with their sums.
#include "emulator/nccl_processes.hpp"

#include <lpw/models/language_model.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/language_modelling.hpp>
#include <lpw/train/trainer.hpp>

#include "cuda/support.hpp"
#include "data/words.hpp"
#include "support/files.hpp"
#include "train/support.hpp"
#include "train/toy.hpp"

#include <lpw/data/device_loader.hpp>
#include <lpw/data/device_text.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// What a run leaves in every process: the collapsed network and the losses of its epochs.
template <class Network, class Task>
std::vector<Tensor<float, Cpu>> trained(Network network, Task task, const train::TrainOptions& options,
                                        distributed::AnyCommunicator& processes, const std::filesystem::path& path) {
  RecordedDisplay display;
  train::Trainer<Network, Task> trainer(network, task, options, {{"model", "toy"}}, {}, processes);
  const auto folder = processes.leads() ? train::RunFolder(path, false) : train::RunFolder::of_other_process(path);
  require(trainer.run(folder, display.get()) == 0, "a signal came");
  Tensor<float, Cpu> losses({options.epochs});
  for (std::size_t i = 0; const auto& record : trainer.progress().history)
    losses.data()[i++] = static_cast<float>(record.train_loss);
  const auto flat = nn::flatten(network);
  return {to_host(flat->value.base), to_host(flat->buffers), losses};
}

/// All members' weights and statistics in a run's checkpoint.
std::vector<Tensor<float, Cpu>> members_of(const std::filesystem::path& path) {
  const auto checkpoint = io::load_checkpoint(path / "checkpoint.lpw");
  std::vector<Tensor<float, Cpu>> result;
  for (const char* name : {"weights.base", "weights.late", "velocity.base", "velocity.late", "buffers"})
    if (checkpoint.tensors.contains(name))
      result.push_back(checkpoint.tensors.get<float>(name, checkpoint.tensors.at(name).shape));
  return result;
}

/// What these tests have in common.
train::TrainOptions shortly(train::TrainOptions options) {
  options.epochs = 4, options.release_epoch = 2;
  options.optimizer = optim::SgdOptions{.learning_rate = 0.05, .momentum = 0.9, .clip = 0.5};
  return options;
}

/// What run(options, processes, path), which is trained() of something, leaves in the first of so many processes with
/// GPUs, and in its checkpoint. All must leave the same. Two processes' sums are as late as they may be, or the other
/// work of three.
template <class Run>
std::vector<Tensor<float, Cpu>> on_gpus(int processes, const train::TrainOptions& options, const Run& run) {
  const TemporaryFolder folder;
  std::vector<Tensor<float, Cpu>> found;
  const auto& others = emulator::Others::instance();
  CHECK(in_nccl_processes(processes, [&](auto& gpus) {
    distributed::AnyCommunicatorOf any(gpus);
    const emulator::Late late(processes == 2 ? cuda::sum_stream() : cuda::stream());
    found = run(options, any, folder / "run");
    require_same_bits(gpus, found);
  }));
  CHECK(others.asked < others.summed);  // others are replayed
  for (auto& tensor : members_of(folder / "run")) found.push_back(std::move(tensor));
  return found;
}

/// Holds a run over so many processes to that in one.
template <class Run>
void check_trainer(int processes, train::TrainOptions options, const Run& run) {
  CAPTURE(processes, options.members);
  options = shortly(options);
  const auto found = on_gpus(processes, options, run);
  const TemporaryFolder folder;
  auto expected = run(options, distributed::single_process(), folder / "run");
  for (auto& tensor : members_of(folder / "run")) expected.push_back(std::move(tensor));
  check_near(found, expected);
}

/// A run of a toy on D.
template <class D>
std::vector<Tensor<float, Cpu>> trained_toy(const train::TrainOptions& options, distributed::AnyCommunicator& processes,
                                            const std::filesystem::path& path) {
  using Images = train::ImageClassification<Toy<D>>;  // an epoch's last minibatch is of 4
  return trained(Toy<D>(), Images(dataset(), {.batch = 7}, processes), options, processes, path);
}

}  // namespace

TEST_CASE("the trainer over processes with a GPU each classifies as on one, by replayed steps") {
  check_trainer(2, {.members = 3, .sum_chunk = 20}, trained_toy<Cuda>);
  // Two share a member, and a checkpoint is due after every step.
  check_trainer(3, {.members = 2, .checkpoint_minutes = 1e-9, .sam = {.rho = 0.05}, .sam_start = 1}, trained_toy<Cuda>);
}

TEST_CASE("the trainer over processes with a GPU each normalises by parts as over processes without") {
  const auto options = shortly({.members = 2, .statistics = train::SharedStatistics::local});
  const TemporaryFolder folder;
  std::vector<Tensor<float, Cpu>> expected;
  CHECK(in_processes(3, [&](Forked all) {  // two share a member
    distributed::AnyCommunicatorOf any(all);
    expected = trained_toy<Cpu>(options, any, folder / "run");
  }));
  for (auto& tensor : members_of(folder / "run")) expected.push_back(std::move(tensor));
  check_near(on_gpus(3, options, trained_toy<Cuda>), expected);

  const auto whole = on_gpus(3, shortly({.members = 2}), trained_toy<Cuda>);
  CHECK_FALSE(distance(whole[0], expected[0]) < 1e-3);  // by the moments of whole minibatches
}

TEST_CASE("the trainer over processes with a GPU each models text as on one, by replayed steps") {
  static const data::TextParts text{text_of_words(300, 1), text_of_words(150, 2), text_of_words(100, 3)};
  const auto run = [](const train::TrainOptions& options, auto& processes, const auto& path) {
    using Network = nn::LanguageModel<float, Cuda>;
    using Windows = train::LanguageModelling<Network>;
    return trained(Network({.hidden = 8, .layers = 1, .embedding = 5}, Philox(1)),
                   Windows(text, {.batch = 2, .pre_batch = 6, .window = 10}, processes), options, processes, path);
  };
  check_trainer(2, {.members = 3, .late = Group::rank_one | Group::head}, run);
}
