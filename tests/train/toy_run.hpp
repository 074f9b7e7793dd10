// Runs of the toy network by the trainer, interrupted at a pass where a test asks for that, and with a part of its own.
#pragma once

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "train/support.hpp"
#include "train/toy.hpp"

namespace lpw::test {

/// Raises a signal with one of its passes.
struct ToyTask : train::ImageClassification<Toy<Cpu>> {
  explicit ToyTask(int interrupted_pass = -1, std::int64_t batch = 5)
      : ImageClassification(dataset(), {.batch = batch, .augment = data::no_augmentation}),
        interrupted_pass(interrupted_pass) {}
  void accumulate_gradient(Toy<Cpu>& network, Tape& tape, const Batch& batch,
                           train::StepOutputs<float, Cpu>& outputs) const {
    if (pass++ == interrupted_pass) raise(SIGINT);
    ImageClassification::accumulate_gradient(network, tape, batch, outputs);
  }
  int interrupted_pass;
  mutable int pass = 0;
};

using ToyPart = train::Part<Toy<Cpu>, ToyTask>;

/// Trains to the end, or to the signal, from the folder's checkpoint if it has one: 12 iterations an epoch, 4 with
/// three members.
struct ToyRun {
  ToyRun(const std::filesystem::path& path, const train::TrainOptions& options, int interrupted_pass = -1,
         std::unique_ptr<ToyPart> part = {}, std::int64_t batch = 5)
      : task(interrupted_pass, batch) {
    train::Trainer<Toy<Cpu>, ToyTask> trainer(network, task, options, {{"model", "toy"}});
    if (part) trainer.add(std::move(part));
    const train::RunFolder folder(path, true);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    RecordedDisplay display;
    signal = trainer.run(folder, display.get());
    progress = trainer.progress();
    shown = display.text();
  }
  Toy<Cpu> network;
  ToyTask task;
  int signal = 0;
  train::Progress progress;
  std::string shown;
};

/// What a file of a run holds.
[[nodiscard]] inline std::string file_of_run(const std::filesystem::path& path, const std::string& name) {
  return text_of(io::read_file(path / name));
}

/// What a checkpoint scores, as a program that evaluates it.
[[nodiscard]] inline train::Results evaluated(const std::filesystem::path& checkpoint,
                                              const train::TrainOptions& options) {
  Toy<Cpu> network;
  ToyTask task;
  RecordedDisplay display;
  train::Trainer<Toy<Cpu>, ToyTask> trainer(network, task, options, {{"model", "toy"}});
  trainer.load(checkpoint);
  return trainer.collapse_and_score(display.get());
}

}  // namespace lpw::test
