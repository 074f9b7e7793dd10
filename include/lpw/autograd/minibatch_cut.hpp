// One member's minibatch that is cut over processes: each passes its part of the samples, and what depends on all of
// them (batch norm's moments, and their gradients) is summed over the processes (ProcessSums).
//
// With B_r of B samples here, share = B_r / B, the loss is sum_r share_r L_r, each L_r a mean over its part. A process
// differentiates its own L_r; whoever sums gradients over processes weighs each with its share.
#pragma once

#include <cstdint>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// Which samples of one member's minibatch a pass has, where other processes have the rest: `count` of `whole`, from
/// number `before` on. A count of 0: all are here. Samples that are sequences may lie in `steps` rows of as many, one
/// for each step of time, as [K, T, B, ...] does.
struct SamplePart {
  std::int64_t count = 0;   // samples here, or 0
  std::int64_t before = 0;  // samples before them
  std::int64_t whole = 0;   // samples of the whole minibatch
  std::int64_t steps = 1;   // rows of so many samples

  /// How many the whole minibatch has of what there are so many of here.
  [[nodiscard]] std::int64_t of_whole(std::int64_t here) const { return count == 0 ? here : here / count * whole; }
};

/// The part of a minibatch that is here. All processes pass the same operations over theirs. What is one is also a
/// ProcessSums of the network's device.
class MinibatchCut {
 public:
  /// Of all processes' samples those here, in (0, 1].
  explicit MinibatchCut(double share) : share_(share) {}
  MinibatchCut(const MinibatchCut&) = delete;
  MinibatchCut& operator=(const MinibatchCut&) = delete;
  virtual ~MinibatchCut() = default;

  /// The samples here over those of the whole minibatch.
  [[nodiscard]] double share() const { return share_; }

 private:
  double share_;
};

}  // namespace lpw::inline LPW_ABI
