// Whole runs of a small convolutional network in double, and what is left of each.
#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <lpw/io/checkpoint.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "support.hpp"
#include "support/networks.hpp"
#include "toy.hpp"

namespace lpw::test {

/// A convolution, batch norms, a hidden layer and a head.
struct ConvNet : SmallNet<double> {
  explicit ConvNet(const Philox& random) : SmallNet<double>(true, nn::Initializer(random)) {}
};
using Images = train::ImageClassification<ConvNet>;

/// 60 images to train on, of the network's three classes.
inline data::Dataset three_classes() {
  data::Dataset set = dataset();
  for (auto* part : {&set.train, &set.test}) {
    part->classes = 3;
    for (auto& label : part->labels) label %= 3;
  }
  return set;
}

/// The stores before the end of a run, on the host.
struct Snapshot {
  nn::FlatPair<double, Cpu> weights;
  Tensor<double, Cpu> statistics;
};

template <class Network, class Task>
class Keep final : public train::Part<Network, Task> {
 public:
  using Run = typename train::Part<Network, Task>::Run;
  using Hook = std::function<void(const Run&)>;
  explicit Keep(Snapshot& to, Hook after_step = {}) : to_(to), after_step_(std::move(after_step)) {}
  void after_step(Run& run) override {
    const auto& flat = run.weights();
    to_ = {{clone(flat.value.base), clone(flat.value.late)}, clone(flat.buffers)};
    if (after_step_) after_step_(run);
  }

 private:
  Snapshot& to_;
  Hook after_step_;
};

struct Outcome : Snapshot {  // after the last step
  int signal = 0;
  ConvNet network{Philox(0)};  // as it ended
  std::string model, shown;
  std::vector<std::string> plan;
  std::vector<double> losses;
  Tensor<double, Cpu> centre;
};

/// A run from its checkpoint, if there is one in the folder, to the end or a signal, with a hook after each step.
inline Outcome trained(const train::TrainOptions& options, const train::ImageClassificationOptions& images,
                       const Keep<ConvNet, Images>::Hook& after_step = {}, const std::filesystem::path& path = {}) {
  const TemporaryFolder own;
  const data::Dataset set = three_classes();
  Outcome outcome;
  outcome.network = ConvNet(Philox(options.seed));
  Images task(set, images);
  RecordedDisplay display;
  train::Trainer<ConvNet, Images> trainer(outcome.network, task, options, {{"model", "toy"}},
                                          [](const Philox& random) { return ConvNet(random); });
  trainer.add(std::make_unique<Keep<ConvNet, Images>>(outcome, after_step));
  const train::RunFolder folder(path.empty() ? own / "run" : path, true);
  if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
  outcome.plan = trainer.plan();
  outcome.signal = trainer.run(folder, display.get());
  outcome.shown = display.text();
  for (const auto& record : trainer.progress().history) outcome.losses.push_back(record.train_loss);
  if (outcome.signal == 0) outcome.model = text_of(io::read_file(folder.model()));
  const auto checkpoint = io::load_checkpoint(folder.checkpoint());
  if (checkpoint.tensors.contains("coupling.centre"))
    outcome.centre = checkpoint.tensors.get<double>("coupling.centre", checkpoint.tensors.at("coupling.centre").shape);
  return outcome;
}

}  // namespace lpw::test
