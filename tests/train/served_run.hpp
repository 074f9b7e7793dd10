// Runs of the toy network with dropout, by which tests look at what is chosen, served and counted.
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/nn/activation.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "train/support.hpp"
#include "train/toy.hpp"

namespace lpw::test {

/// The toy with dropout before its head.
struct DropoutToy : Toy<Cpu> {
  DropoutToy() : dropout(0.3) {}
  [[nodiscard]] Variable<float, Cpu> forward(const Variable<float, Cpu>& x) {
    return head.forward(dropout.forward(hidden.forward(global_average_pool(bn.forward(x)))));
  }
  nn::Dropout<float, Cpu> dropout;
};

/// 48 training images and 12 that are held out.
[[nodiscard]] inline const data::Dataset& parted() {
  static const data::Dataset set = [] {
    data::Dataset whole = dataset();
    data::hold_out(whole, 12);
    return whole;
  }();
  return set;
}

/// Calls a hook before each pass.
struct ServedTask : train::ImageClassification<DropoutToy> {
  explicit ServedTask(const data::Dataset& set) : train::ImageClassification<DropoutToy>(set, {.batch = 4}) {}
  void accumulate_gradient(DropoutToy& network, Tape& tape, const Batch& batch,
                           train::StepOutputs<float, Cpu>& outputs) const {
    if (hook) hook(pass++, network);
    train::ImageClassification<DropoutToy>::accumulate_gradient(network, tape, batch, outputs);
  }
  /// The quality of a network is its accuracy, or where `by_loss` says so, its loss, which hardly ever stays the same.
  std::vector<train::HeldOutScore> held_out_scores(DropoutToy& network) const {
    auto scores = train::ImageClassification<DropoutToy>::held_out_scores(network);
    for (train::HeldOutScore& score : scores) score.quality = by_loss ? -score.loss : score.quality;
    return scores;
  }
  std::function<void(int, DropoutToy&)> hook;
  bool by_loss = false;
  mutable int pass = 0;
};

// 12 and then 4 iterations an epoch
inline const train::TrainOptions served_options{
    .epochs = 4, .members = 3, .release_epoch = 2, .sigma = 0.3, .optimizer = optim::SgdOptions{.learning_rate = 0.05}};

[[nodiscard]] inline train::TrainOptions serving(const train::ServingOptions& o) {
  train::TrainOptions result = served_options;
  result.serving = o;
  return result;
}

struct ServedRun {
  explicit ServedRun(const train::TrainOptions& o, const data::Dataset& set = parted())
      : task(set), trainer(network, task, o, {{"model", "toy"}}) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const train::RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  /// Ends the run in a pass.
  void interrupt(int pass) {
    task.hook = [pass](int now, DropoutToy&) {
      if (now == pass) raise(SIGINT);
    };
  }
  DropoutToy network;
  ServedTask task;
  RecordedDisplay display;
  train::Trainer<DropoutToy, ServedTask> trainer;
};

[[nodiscard]] inline nlohmann::json summary_in(const std::filesystem::path& run) {
  return nlohmann::json::parse(text_of(io::read_file(run / "summary.json")));
}
[[nodiscard]] inline std::string model_in(const std::filesystem::path& run) {
  return text_of(io::read_file(run / "model.safetensors"));
}
[[nodiscard]] inline double quality(ServedRun& run) { return run.task.held_out_scores(run.network).front().quality; }

}  // namespace lpw::test
