// The sum of a gradient over processes, in chunks that begin while backward still runs: each as soon as all weights in
// it have their gradients, and those after it have begun. Backward finishes the last layers first, and so goes the sum
// from the store's end to its beginning. That order is the network's alone, the same in each process and run, and so
// are the bits: each number is summed by itself. On a GPU "has" and "begins" are of the order of its work: here, as
// there, a chunk is final when the backward steps before it have been issued.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <lpw/autograd/gradient_watch.hpp>
#include <lpw/distributed/tensor_sums.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::distributed::detail {

/// A sum that has begun, or will with a backward pass.
class GradientSum : public GradientWatch {
 public:
  /// Whether it is of this store.
  [[nodiscard]] virtual bool of(const void* gradient) const = 0;
  /// Whether its backward pass has begun.
  [[nodiscard]] virtual bool running() const = 0;
  /// Begins what has not begun, and waits for all.
  virtual void finish() = 0;
};

/// Of the shared weights' gradient. It must not be touched between the backward pass and finish().
template <class W, class D, SumsMeanwhile<D> C>
class ChunkedSum final : public GradientSum {
 public:
  /// Chunks of `length` numbers, each multiplied by `weight` before it is summed.
  ChunkedSum(C& communicator, std::shared_ptr<nn::FlatWeights<W, D>> flat, std::int64_t length, double weight)
      : communicator_(&communicator),
        flat_(std::move(flat)),
        values_(flat_->gradient.base.reshaped({flat_->gradient.base.size()})),
        length_(length),
        weight_(weight),
        unfinished_(to_size((values_.size() + length - 1) / length)),
        begun_(unfinished_.size()) {
    for (const nn::Segment& segment : flat_->segments)
      if (!segment.late_phase && segment.size > 0)
        chunks_of_[values_.data() + segment.offset] = {to_size(segment.offset / length_),
                                                       to_size((segment.offset + segment.size - 1) / length_)};
  }

  [[nodiscard]] bool of(const void* gradient) const override { return gradient == values_.data(); }
  [[nodiscard]] bool running() const override { return running_; }

  /// Throws Error for a second backward pass, whose gradients would come too late.
  void begin(const std::vector<const void*>& leaves) override {
    require(!std::exchange(running_, true),
            "members: a second backward pass after the one during which gradients are summed; let overlap() have the "
            "step's last pass alone");
    for (const void* leaf : leaves) count(leaf, 1);
    begin_finished();
  }
  void leave(const void* leaf) override {
    count(leaf, -1);
    begin_finished();
    step();
  }
  void step() override { progress<D>(*communicator_); }

  void finish() override {
    while (begun_ > 0) begin_chunk();
    finish_sums<D>(*communicator_);
  }

 private:
  void count(const void* leaf, std::int64_t change) {
    const auto found = chunks_of_.find(leaf);
    if (found == chunks_of_.end()) return;  // a late-phase weight's
    for (std::size_t chunk = found->second.first; chunk <= found->second.second; ++chunk) unfinished_[chunk] += change;
  }
  void begin_finished() {
    while (begun_ > 0 && unfinished_[begun_ - 1] == 0) begin_chunk();
  }
  void begin_chunk() {
    const std::int64_t first = static_cast<std::int64_t>(--begun_) * length_;
    auto chunk = values_.rows(first, std::min(length_, values_.size() - first));
    weigh(chunk, weight_);
    start_sum(*communicator_, chunk, flat_);
  }

  C* communicator_;
  std::shared_ptr<nn::FlatWeights<W, D>> flat_;
  Tensor<W, D> values_;
  std::int64_t length_;
  double weight_;
  std::map<const void*, std::pair<std::size_t, std::size_t>> chunks_of_;  // a weight's first and last
  std::vector<std::int64_t> unfinished_;                                  // leaves, of each chunk
  std::size_t begun_;                                                     // chunks from this one on
  bool running_ = false;
};

}  // namespace lpw::inline LPW_ABI::distributed::detail
