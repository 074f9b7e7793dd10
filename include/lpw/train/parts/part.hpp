// A part of a run beside training itself: what the trainer's loop calls between iterations and epochs, and at the end.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>

#include <lpw/io/named_tensors.hpp>
#include <lpw/nn/flat_weights.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/scores.hpp>

namespace lpw::inline LPW_ABI::train {

template <nn::Visitable Network, class Task>
struct TrainingRun;

/// Does nothing where it is not overridden. Parts are called in the order in which they were added.
template <nn::Visitable Network, class Task>
class Part {
 public:
  using Run = TrainingRun<Network, Task>;
  using Flat = nn::FlatWeights<nn::WeightOf<Network>, typename Network::device_type>;
  virtual ~Part() = default;

  /// Before anything is trained or scored in the run's folder, with its progress in place.
  virtual void start(Run&) {}
  /// Before the first iteration of an epoch.
  virtual void before_epoch(Run&, Display&) {}
  /// After an iteration, which progress counts already, but for the sums of a device that works on its own: those may
  /// follow with the next.
  virtual void after_step(Run&) {}
  /// Whether the epoch is to end before its next iteration.
  [[nodiscard]] virtual bool ends_epoch(const Run&) const { return false; }
  /// After the last iteration of an epoch and before anything changes with its end: for what is to be scored. A signal
  /// may cut it short, and it is called again then when the run goes on.
  virtual void score_epoch(Run&) {}
  /// After the last iteration of an epoch and its scoring; progress still stands in it.
  virtual void after_epoch(Run&) {}
  /// After an epoch's row stands in the history, and before the checkpoint.
  virtual void recorded(Run&) {}
  /// How many epochs went by since there is what it is to offer or to score at the end: none before. Training does not
  /// stop early without that.
  [[nodiscard]] virtual std::int64_t epochs_ready(const Run&) const { return std::numeric_limits<std::int64_t>::max(); }
  /// What an epoch's phase is called besides, such as "+ema"; nothing else tells.
  [[nodiscard]] virtual const char* phase(const Run&) const { return ""; }
  /// At the end, with the weights of the last step, before any part's offer.
  virtual void before_offer(Run&, Display&) {}
  /// At the end: puts what it has gathered into the network where that is what is to be scored and saved.
  virtual void offer(Run&, Display&) {}
  /// After the members were collapsed: may put another plain network in the place of the run's.
  virtual void conclude(Run&, Display&) {}
  /// At the end, with the network collapsed: adds the scores of what else can be served.
  virtual void score(Run&, Display&, Results&) {}

  /// What a checkpoint keeps of it. Throws FileError where that is not what it should be. `load` is called once, with
  /// the run's progress in place, in the order of the parts.
  virtual void save(const Run&, io::NamedTensors&) {}
  /// Takes from a checkpoint what `save` put there.
  virtual void load(Run&, const io::NamedTensors&) {}

  /// As an optimizer's or an average's: whether what it holds belongs to these stores, and the way to others, with a
  /// release or, after before_collapse, with a collapse.
  [[nodiscard]] virtual bool follows(const Flat&) const { return true; }
  virtual void rearrange(const Flat&, const std::shared_ptr<Flat>&) {}
  virtual void before_collapse(Network&) {}
};

}  // namespace lpw::inline LPW_ABI::train
