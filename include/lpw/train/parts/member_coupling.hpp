// Has the members pull on each other after their steps (TrainOptions::coupling), from each release on.
#pragma once

#include <memory>
#include <optional>
#include <variant>

#include <lpw/late_phase/coupling.hpp>
#include <lpw/train/fresh_statistics.hpp>

namespace lpw::inline LPW_ABI::train {

/// Its steps count from the release on: a growing pull begins anew with every one, and couplings are due a whole number
/// of `coupling_every` steps after it. It is work of its own beside the steps that a device replays.
template <nn::Visitable Network, class Task>
class MemberCoupling final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;
  using Flat = typename Part<Network, Task>::Flat;

  void before_epoch(Run& run, Display&) override {
    if (run.options.coupling && run.progress.released && !coupling_) couple(run, run.progress.step);
  }
  void after_step(Run& run) override {
    if (coupling_) coupling_->apply(run.progress.step - release_, *run.optimizer);
  }
  void offer(Run& run, Display& display) override {
    if (!coupling_ || !has_centre(run) || run.options.elastic_served != ElasticServed::centre) return;
    const bool statistics = run.weights().buffers.size() > 0;
    display.line(to_text("coupling: the centre of the members",
                         statistics ? "; recomputing batch-norm statistics with one pass over the training set" : ""));
    coupling_->place_centre(run.network);
    run.progress.choices.weights = "centre";
    recompute_statistics(run, run.network, run.options.epochs);
  }

  void save(const Run&, io::NamedTensors& tensors) override {
    if (!coupling_) return;
    tensors.add("coupling.release", full<std::int64_t, Cpu>({1}, release_));
    if (std::holds_alternative<Elastic>(coupling_->options().rule))
      tensors.add("coupling.centre", to_host(coupling_->centre()));
  }
  void load(Run& run, const io::NamedTensors& tensors) override {
    if (!run.options.coupling || !run.progress.released) return;
    const std::int64_t release = *tensors.get<std::int64_t>("coupling.release", {1}).data();
    require<FileError>(release >= 0 && release <= run.progress.step, tensors.source(),
                       ": damaged: tensor 'coupling.release' says step ", release, " of ", run.progress.step);
    couple(run, release);
    if (!has_centre(run)) return;
    auto& centre = coupling_->centre();
    copy(to_device<typename Run::D>(tensors.get<typename Run::W>("coupling.centre", centre.shape())), centre);
  }

  /// After a release or a collapse it is for other members from the next epoch on, if there are any; gathered or spread
  /// over processes, members are the same.
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) override {
    if (coupling_ && from.share != to->share && from.all_members() == to->all_members())
      coupling_->follow(to);
    else
      coupling_.reset();
  }

 private:
  [[nodiscard]] static bool has_centre(const Run& run) {
    return std::holds_alternative<Elastic>(*run.options.coupling);
  }

  /// Swaps after another release are others.
  void couple(Run& run, std::int64_t release) {
    const Philox random(run.options.seed ^ static_cast<std::uint64_t>(release) << 24);
    release_ = release;
    coupling_.emplace(
        run.network,
        CouplingOptions{.rule = *run.options.coupling, .every = run.options.coupling_every, .random = random});
  }

  std::int64_t release_ = 0;  // steps before the present members' first
  std::optional<Coupling<typename Run::W, typename Run::D>> coupling_;
};

}  // namespace lpw::inline LPW_ABI::train
