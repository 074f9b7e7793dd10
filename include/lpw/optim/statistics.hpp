// Running statistics of averaged weights: those of batch norm layers belong to the weights with which they were
// gathered, and are gathered anew for others.
#pragma once

#include <functional>

#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::optim {

namespace detail {

/// A pass over whole minibatches.
struct PlainPass {
  [[nodiscard]] TapeOptions operator()(const auto&) const { return {}; }
};

}  // namespace detail

/// Marks all running statistics as belonging to other weights: evaluation throws until they are recomputed.
template <nn::Visitable M>
void mark_statistics_stale(M& network) {
  nn::set_statistics_stale(network, true);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto mark_statistics_stale(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// Replaces all running statistics by those of all samples in `batches`, a range whose items give inputs [K, B, ...] by
/// inputs_of(item): each member's own minibatches. A channel's mean is sum_b m_b mean_b / sum_b m_b and its variance,
/// biased, sum_b m_b (variance_b + (mean_b - mean)^2) / sum_b m_b, over minibatches of m_b samples, each normalised by
/// its own statistics on the way: what the channel's values have together, whatever the minibatches' sizes. (PyTorch's
/// update_bn weighs minibatches, not samples.) `member_chunk` members are computed at a time (0: all).
/// `pass_of(inputs)` is the tape's options of a pass: where inputs are this process' part of one member's minibatch,
/// those that say so (distributed::Members::statistics_pass). Throws OptionError for an empty range, ShapeError for
/// inputs of another number of members than the network's. A batch norm used twice in one forward pools the statistics
/// of both uses.
template <nn::Module M, class Batches, class InputsOf = std::identity, class PassOf = detail::PlainPass>
void recompute_statistics(M& network, Batches&& batches, std::int64_t member_chunk = 0, InputsOf inputs_of = {},
                          PassOf pass_of = {}) {
  const std::int64_t members = nn::members(network);
  double seen = 0;  // elements of a member's inputs, which are as many for each sample
  for (const auto& batch : batches) {
    const auto inputs = inputs_of(batch);
    require<ShapeError>(inputs.shape().rank() >= 2 && inputs.dim(0) == members, "recompute_statistics: inputs ",
                        inputs.shape(), " for a network of ", members, " members; expected [K=", members,
                        " B ...], a minibatch for every member");
    TapeOptions pass = pass_of(inputs);
    const auto size = static_cast<double>(pass.part.of_whole(inputs.size() / members));
    seen += size;
    pass.record = false, pass.mode = Mode::statistics, pass.share = size / seen;
    for (const MemberRange range : member_chunks(members, member_chunk)) {
      pass.members = range;
      const Tape tape(pass);
      (void)network.forward(tape.input(inputs.rows(range.first, range.count)));
    }
  }
  require<OptionError>(seen > 0, "recompute_statistics: no batches to gather statistics from");
  nn::set_statistics_stale(network, false);
}
/// For what is no module: says so.
template <nn::detail::NoForward M>
auto recompute_statistics(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::optim
