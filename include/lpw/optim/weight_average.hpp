// Stochastic weight averaging (Izmailov et al. 2018) of all weights, base and late-phase.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Marks all running statistics as belonging to other weights: evaluation throws until they are recomputed.
template <nn::Visitable M>
void mark_statistics_stale(M& network) {
  nn::set_statistics_stale(network, true);
}

/// Replaces all running statistics by those of all samples in `batches`, a range whose items give inputs [K, B, ...] by
/// inputs_of(item): each member's own minibatches. A channel's mean is sum_b m_b mean_b / sum_b m_b and its variance,
/// biased, sum_b m_b (variance_b + (mean_b - mean)^2) / sum_b m_b, over minibatches of m_b samples, each normalised by
/// its own statistics on the way: what the channel's values have together, whatever the minibatches' sizes. (PyTorch's
/// update_bn weighs minibatches, not samples.) `member_chunk` members are computed at a time (0: all). Throws
/// OptionError for an empty range, ShapeError for inputs of another number of members than the network's. A batch norm
/// used twice in one forward pools the statistics of both uses.
template <nn::Module M, class Batches, class InputsOf = std::identity>
void recompute_statistics(M& network, Batches&& batches, std::int64_t member_chunk = 0, InputsOf inputs_of = {}) {
  const std::int64_t members = nn::members(network);
  double seen = 0;  // elements of a member's inputs, which are as many for each sample
  for (const auto& batch : batches) {
    const auto inputs = inputs_of(batch);
    require<ShapeError>(inputs.shape().rank() >= 2 && inputs.dim(0) == members, "recompute_statistics: inputs ",
                        inputs.shape(), " for a network of ", members, " members; expected [K=", members,
                        " B ...], a minibatch for every member");
    const auto size = static_cast<double>(inputs.size() / members);
    seen += size;
    for (const MemberRange range : member_chunks(members, member_chunk)) {
      const Tape tape({.record = false, .mode = Mode::statistics, .members = range, .share = size / seen});
      (void)network.forward(tape.input(inputs.rows(range.first, range.count)));
    }
  }
  require<OptionError>(seen > 0, "recompute_statistics: no batches to gather statistics from");
  nn::set_statistics_stale(network, false);
}

/// Running average of a network's weights; one update an epoch.
template <class W, class D>
class WeightAverage {
 public:
  template <nn::Visitable M>
  explicit WeightAverage(M& network) : flat_(nn::flatten(network)), average_(flat_->zeros_like()) {}

  /// average += (weights - average) / (updates so far + 1).
  void update() {
    require_current();
    const double weight = 1.0 / static_cast<double>(++updates_);
    move_average(average_.base, flat_->value.base, weight);
    move_average(average_.late, flat_->value.late, weight);
  }

  /// Puts the average into the network and marks its running statistics stale. Throws Error if nothing was averaged,
  /// for a network of other weights. It may be another network of the same form.
  template <nn::Visitable M>
  void apply(M& network) const {
    const auto flat = nn::flatten(network);
    require(updates_ > 0, "WeightAverage: no weights have been averaged yet");
    const auto same = [](const nn::Segment& a, const nn::Segment& b) {
      return a.name == b.name && a.late_phase == b.late_phase && a.size == b.size;
    };
    require(std::equal(flat->segments.begin(), flat->segments.end(), flat_->segments.begin(), flat_->segments.end(),
                       same) &&
                flat->members == flat_->members,
            "WeightAverage: the network has other weights than the averaged ones");
    copy(average_.base, flat->value.base);
    copy(average_.late, flat->value.late);
    mark_statistics_stale(network);
  }

  /// Whether the averaged weights are in these stores.
  [[nodiscard]] bool follows(const nn::FlatWeights<W, D>& flat) const { return &flat == flat_.get(); }
  /// Follows the network to new stores; call it beside the optimizer's when releasing or collapsing while averaging.
  /// Weights that are new there count as having had so far what they are attached as: rank-1 factors ones, deviations
  /// zeros, whatever release starts them from afterwards.
  void rearrange(const nn::FlatWeights<W, D>& from, const std::shared_ptr<nn::FlatWeights<W, D>>& to) {
    if (collapsed_) {
      average_ = {*std::exchange(collapsed_, std::nullopt), Tensor<W, D>(to->value.late.shape())};
    } else {
      average_ = nn::rearrange(average_, from, *to, {clone(to->value.base), clone(to->value.late)});
    }
    flat_ = to;
  }
  /// The average is the weights of a network, whose forms are folded as the network's own.
  template <nn::Visitable M>
  void before_collapse(M& network) {
    if (updates_ == 0) return;
    M copy = nn::clone_module(network);
    apply(copy);
    collapse(copy, Collapse::parameters);
    collapsed_ = nn::flatten(copy)->value.base;
  }

  [[nodiscard]] std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }
  [[nodiscard]] nn::FlatPair<W, D>& average() { return average_; }

 private:
  void require_current() const {
    require(!flat_->retired,
            "WeightAverage: the network has been assigned to, collapsed, released without this average, or is gone; "
            "make a new average for it");
  }

  std::shared_ptr<nn::FlatWeights<W, D>> flat_;
  nn::FlatPair<W, D> average_;
  std::optional<Tensor<W, D>> collapsed_ = {};  // between before_collapse and rearrange
  std::int64_t updates_ = 0;
};

template <nn::Visitable M>
WeightAverage(M&) -> WeightAverage<nn::WeightOf<M>, typename M::device_type>;

}  // namespace lpw::inline LPW_ABI::optim
