// Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", 2011). A draw is a pure function of (seed, stream, step, index): the same on every device and with any number of
// threads.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <lpw/tensor/dtype.hpp>

namespace lpw::inline LPW_ABI {

/// What a stream of random numbers is for. Streams of one seed never overlap.
enum class Stream : std::uint32_t {
  weights,
  order,
  crop,
  release,
  dropout,
  synthetic,
  test,
  sample,
  swap,
  dropout_sample
};

/// Random numbers as a function of (seed, stream, step, index): a value to be passed on, which has no state to be
/// advanced.
class Philox {
 public:
  /// What one index gives: 128 bits.
  using Block = std::array<std::uint32_t, 4>;

  /// At step `step` of a stream of the seed.
  LPW_HOST_DEVICE constexpr explicit Philox(std::uint64_t seed, Stream stream = Stream::weights, std::uint32_t step = 0)
      : seed_(seed), stream_(static_cast<std::uint32_t>(stream)), step_(step) {}

  /// The same seed for another purpose; `step` separates repeated uses (an epoch, an iteration, a parameter).
  [[nodiscard]] LPW_HOST_DEVICE constexpr Philox stream(Stream stream, std::uint32_t step = 0) const {
    return Philox(seed_, stream, step);
  }
  /// The same stream, `steps` steps later.
  [[nodiscard]] LPW_HOST_DEVICE constexpr Philox later(std::uint32_t steps) const {
    Philox result = *this;
    result.step_ += steps;
    return result;
  }
  /// As the numbers were made.
  [[nodiscard]] constexpr std::uint64_t seed() const { return seed_; }

  /// 128 random bits for an index.
  [[nodiscard]] LPW_HOST_DEVICE constexpr Block operator()(std::uint64_t index) const {
    return rounds({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), step_, stream_},
                  static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32));
  }

  /// Uniform in [0, 1), a multiple of 2^-24.
  [[nodiscard]] LPW_HOST_DEVICE constexpr float uniform(std::uint64_t index) const {
    return to_uniform((*this)(index)[0]);
  }

  /// Uniform integer in [0, bound), by multiplication; the bias is below bound / 2^32.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::uint32_t below(std::uint64_t index, std::uint32_t bound) const {
    return static_cast<std::uint32_t>((std::uint64_t{(*this)(index)[0]} * bound) >> 32);
  }

  /// Standard normal, by Box and Muller; the tail ends at 6.7.
  [[nodiscard]] double normal(std::uint64_t index) const {
    const Block bits = (*this)(index);
    const double u = (bits[0] + 1.0) * 0x1p-32, v = bits[1] * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// The upper 24 of 32 random bits as a number in [0, 1).
  [[nodiscard]] LPW_HOST_DEVICE static constexpr float to_uniform(std::uint32_t bits) {
    return static_cast<float>(bits >> 8) * 0x1p-24f;
  }

  /// The bare function on a 128-bit counter and a 64-bit key, as its authors' known answers use it.
  [[nodiscard]] LPW_HOST_DEVICE static constexpr Block rounds(Block counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0], b = std::uint64_t{0xCD9E8D57u} * counter[2];
      counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
                 static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return counter;
  }

 private:
  std::uint64_t seed_;
  std::uint32_t stream_, step_;
};

/// The random numbers of one item that takes `count` of them, 32 bits each, in their order: number n of item i is word
/// n mod 4 of the block at index i ceil(count / 4) + n / 4.
class PhiloxSequence {
 public:
  /// Of item `item`, which takes `count` numbers.
  LPW_HOST_DEVICE constexpr PhiloxSequence(const Philox& random, std::int64_t item, int count)
      : random_(random), index_(static_cast<std::uint64_t>(item * ((count + 3) / 4))) {}

  /// The next 32 bits.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::uint32_t next() {
    if (left_ == 0) {
      block_ = random_(index_++);
      left_ = 4;
    }
    --left_;
    const std::uint32_t number = block_[0];
    block_ = {block_[1], block_[2], block_[3], 0};  // no index that a GPU would keep its registers in memory for
    return number;
  }

  /// Uniform integer in [0, bound), as Philox::below.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{next()} * bound) >> 32);
  }

 private:
  Philox random_;
  std::uint64_t index_;
  Philox::Block block_ = {};
  int left_ = 0;
};

}  // namespace lpw::inline LPW_ABI
