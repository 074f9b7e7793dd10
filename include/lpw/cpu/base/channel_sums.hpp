// Sums of pixels, channel by channel, of windows of any size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI {

/// A run of pixels is summed in W, the runs in double: the rounding error grows with a run, not with the window, and a
/// window of one run has W's bits.
template <class W>
class ChannelSums {
 public:
  static constexpr std::int64_t run = 128;  // pixels

  /// Zeros.
  explicit ChannelSums(std::int64_t channels) : part_(to_size(channels)), total_(to_size(channels)) {}

  /// Begins anew, with start(channel).
  template <class Start>
  void begin(Start&& start) {
    for (std::size_t c = 0; c < part_.size(); ++c) part_[c] = start(static_cast<std::int64_t>(c));
    if (runs_ > 0) std::fill(total_.begin(), total_.end(), 0.0);
    terms_ = runs_ = 0;
  }
  /// Adds a pixel's channels, times a factor.
  template <class T>
  void add(const T* pixel, W factor) {
    if (terms_ == run) end_run();
    ++terms_;
    W* to = part_.data();
    const auto channels = static_cast<std::int64_t>(part_.size());
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) to[c] += W(pixel[c]) * factor;
  }
  /// The sum of channel c, when all are added.
  [[nodiscard]] W operator[](std::int64_t c) const {
    const W part = part_[to_size(c)];
    return runs_ == 0 ? part : static_cast<W>(total_[to_size(c)] + double(part));
  }

 private:
  void end_run() {
    for (std::size_t c = 0; c < part_.size(); ++c) {
      total_[c] += double(part_[c]);
      part_[c] = W(0);
    }
    terms_ = 0;
    ++runs_;
  }

  std::vector<W> part_;
  std::vector<double> total_;
  std::int64_t terms_ = 0, runs_ = 0;
};

}  // namespace lpw::inline LPW_ABI
