// What all averages over time are: states in the form of a network's weights, which take the weights into account
// whenever they are told to, after a step or an epoch, and offer their average. Base weights, and every member's
// late-phase weights, are averaged each on their own.
//
// With a release, an average goes along: every member starts from the one past there was, and weights that are new
// (rank-1 factors, deviations) count as having had so far what they are attached as, ones and zeros, whatever release
// starts them from afterwards. A collapse that it follows collapses the weights it holds as the network's, by their
// parameters, since only whole weights can be folded; another one ends it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/optim/named_state.hpp>
#include <lpw/optim/statistics.hpp>

namespace lpw::inline LPW_ABI::optim {

/// How often an average has been updated, and how many of these updates were of late-phase weights.
struct AverageCounts {
  std::int64_t updates = 0;       // all
  std::int64_t late_updates = 0;  // since the release
  [[nodiscard]] bool operator==(const AverageCounts&) const = default;
};

/// An average over time of all weights of a network. States and counts are all that changes in the course of a run.
template <class W, class D>
class Average {
 public:
  using Flat = nn::FlatWeights<W, D>;
  using Pair = nn::FlatPair<W, D>;
  virtual ~Average() = default;

  /// Takes the network's present weights into account. Throws Error if the network has other weights by now: it was
  /// assigned to, collapsed, or released elsewhere.
  void update() {
    require_current();
    ++counts_.updates;
    if (released()) ++counts_.late_updates;
    take(flat_->value);
  }

  /// Puts the average into the network and marks its running statistics stale. Throws Error if nothing was averaged,
  /// or for a network of other weights. It may be another network of the same form.
  template <nn::Visitable M>
  void apply(M& network) const {
    const auto flat = nn::flatten(network);
    require(counts_.updates > 0, name_, ": no weights have been averaged yet");
    require(nn::same_form(*flat, *flat_), name_, ": the network has other weights than the averaged ones");
    const Pair average = this->average();
    copy(average.base, flat->value.base);
    copy(average.late, flat->value.late);
    mark_statistics_stale(network);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto apply(M&, auto&&...) const {
    return nn::detail::not_a_module<M>();
  }

  /// The average as it is now. It may share memory with the states.
  [[nodiscard]] virtual Pair average() const { return slot(0); }

  /// Whether the averaged weights are in these stores.
  [[nodiscard]] bool follows(const Flat& flat) const { return &flat == flat_.get(); }
  /// Follows the network to new stores; call it beside the optimizer's when releasing or collapsing while averaging.
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    if (collapsed_) return take_collapsed(to);
    const std::vector<NamedState<W, D>> before = states();
    flat_ = to;
    make_slots(slots());
    for (std::int64_t i = 0; i < slots(); ++i) {
      const Pair moved =
          nn::rearrange(before[to_size(i)].pair, from, *to, {clone(to->value.base), clone(to->value.late)});
      put(moved, slot(i));
    }
  }

  /// Makes collapsed weights of all that are kept, with which rearrange goes on; called by collapse.
  template <nn::Visitable M>
  void before_collapse(M& network) {
    require(follows(*nn::flatten(network)), name_, ": is not of the network that is to be collapsed");
    collapsed_.emplace();
    for (std::int64_t i = 0; i < std::min(slots(), counts_.updates); ++i) {
      M copy = nn::clone_module(network);
      put(slot(i), nn::flatten(copy)->value);
      collapse(copy, Collapse::parameters);
      collapsed_->push_back(nn::flatten(copy)->value.base);
    }
  }

  /// What it is called: "WeightAverage", "ExponentialAverage", "LatestAverage".
  [[nodiscard]] const char* name() const { return name_; }
  /// How often it was updated.
  [[nodiscard]] std::int64_t updates() const { return counts_.updates; }
  /// What a checkpoint holds, beside counts(): copy to and from the tensors.
  [[nodiscard]] std::vector<NamedState<W, D>> states() const {
    if (slots() == 1) return {{"average", slot(0)}};
    std::vector<NamedState<W, D>> states;
    for (std::int64_t i = 0; i < slots(); ++i) states.push_back({to_text("recent_", i + 1), slot(i)});
    return states;
  }
  /// What a checkpoint holds beside states().
  [[nodiscard]] AverageCounts counts() const { return counts_; }
  /// Throws OptionError for counts that cannot be.
  void set_counts(AverageCounts counts) {
    require<OptionError>(counts.late_updates >= 0 && counts.updates >= counts.late_updates, name_, ": ", counts.updates,
                         " updates, of which ", counts.late_updates,
                         " were of late-phase weights; expected 0 <= late-phase ones <= all");
    counts_ = counts;
  }

 protected:
  /// With so many slots in the form of the network's weights, which are zero.
  template <nn::Visitable M>
  Average(const char* name, M& network, std::int64_t slots) : name_(name), flat_(nn::flatten(network)) {
    make_slots(slots);
  }
  Average(const Average&) = delete;  // states would be shared
  Average& operator=(const Average&) = delete;
  Average(Average&&) = default;
  Average& operator=(Average&&) = default;

  /// One update, which counts() has counted.
  virtual void take(const Pair& weights) = 0;

  /// Whether the network has late-phase weights now.
  [[nodiscard]] bool released() const { return flat_->value.late.size() > 0; }
  /// The stores that it averages.
  [[nodiscard]] const Flat& weights() const { return *flat_; }

  /// Places for weights, [slots, size] each in one piece of memory: one row is one network's.
  [[nodiscard]] std::int64_t slots() const { return kept_.base.dim(0); }
  /// All slots.
  [[nodiscard]] const Pair& kept() const { return kept_; }
  /// Slot i in the form of the weights; it shares memory.
  [[nodiscard]] Pair slot(std::int64_t i) const {
    return {kept_.base.rows(i, 1), kept_.late.rows(i, 1).reshaped(flat_->value.late.shape())};
  }
  /// Copies weights to a slot, or out of one.
  static void put(const Pair& from, Pair to) {
    copy(from.base, to.base);
    copy(from.late, to.late);
  }
  /// average += (weights - average) share, in the one slot there is; a share of 1 gives the weights as they are.
  void move(const Pair& weights, double share) {
    Pair average = slot(0);
    if (share == 1) return put(weights, average);
    move_average(average.base, weights.base, share);
    move_average(average.late, weights.late, share);
  }

 private:
  void take_collapsed(const std::shared_ptr<Flat>& to) {
    const std::int64_t count = slots();
    flat_ = to;
    make_slots(count);
    const auto collapsed = *std::exchange(collapsed_, std::nullopt);
    for (std::size_t i = 0; i < collapsed.size(); ++i) {
      auto place = slot(static_cast<std::int64_t>(i)).base;
      copy(collapsed[i], place);
    }
  }
  void make_slots(std::int64_t slots) {
    kept_ = {zeros<W, D>({slots, flat_->value.base.size()}), zeros<W, D>({slots, flat_->value.late.size()})};
  }
  void require_current() const {
    require(!flat_->retired, name_,
            ": the network has been assigned to, collapsed, released without this average, or is gone; make a new "
            "average for it");
  }

  const char* name_;
  std::shared_ptr<Flat> flat_;
  Pair kept_;
  AverageCounts counts_;
  std::optional<std::vector<Tensor<W, D>>> collapsed_ = {};  // between before_collapse and rearrange
};

}  // namespace lpw::inline LPW_ABI::optim
