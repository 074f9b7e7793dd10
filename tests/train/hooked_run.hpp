// Runs of the toy network by the trainer, with which a test interferes at each pass and each evaluation.
#pragma once

#include <functional>
#include <string>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "train/support.hpp"
#include "train/toy.hpp"

namespace lpw::test {

/// Calls a hook before each pass and each evaluation, by which a test interferes with training.
struct HookedTask : train::ImageClassification<Toy<Cpu>> {
  HookedTask() : train::ImageClassification<Toy<Cpu>>(dataset(), {.batch = 5, .augment = data::no_augmentation}) {}
  void accumulate_gradient(Toy<Cpu>& network, Tape& tape, const Batch& batch,
                           train::StepOutputs<float, Cpu>& outputs) const {
    if (hook) hook(pass++, network);
    train::ImageClassification<Toy<Cpu>>::accumulate_gradient(network, tape, batch, outputs);
  }
  train::MemberScores evaluate_members(Toy<Cpu>& network) const {
    if (at_evaluation) at_evaluation(evaluation++);
    return train::ImageClassification<Toy<Cpu>>::evaluate_members(network);
  }
  train::Scores evaluate(Toy<Cpu>& network) const { return evaluate_members(network).ensemble; }
  void evaluate_dropout() const {}  // a task that scores no dropout samples
  train::Scores epoch_scores(Toy<Cpu>& network) const { return evaluate(network); }
  std::function<void(int, Toy<Cpu>&)> hook;
  std::function<void(int)> at_evaluation;
  mutable int pass = 0, evaluation = 0;
};

inline const train::TrainOptions hooked_options{.epochs = 4,
                                                .members = 3,
                                                .release_epoch = 2,
                                                .average = optim::SwaOptions(),
                                                .average_plan = {.start = 3}};  // 12 and then 4 iterations an epoch
inline const nlohmann::json hooked_description{{"model", "toy"}};

struct HookedRun {
  explicit HookedRun(const train::TrainOptions& o = hooked_options, const nlohmann::json& d = hooked_description)
      : trainer(network, task, o, d) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const train::RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  Toy<Cpu> network;
  HookedTask task;
  RecordedDisplay display;
  train::Trainer<Toy<Cpu>, HookedTask> trainer;
};

[[nodiscard]] inline std::string model_after(const TemporaryFolder& folder) {
  return text_of(io::read_file(folder / "run/model.safetensors"));
}

}  // namespace lpw::test
