// Where a loop of one's own stands in its data. Minibatches and all random numbers of training are functions of it, so
// that these three numbers are what a resumed loop needs to know of both.
#pragma once

#include <cstdint>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::data {

/// The next minibatch, and how many there have been.
///
///     for (; place.epoch < epochs; place.end_epoch())
///       for (auto& [x, y] : loader.epoch(place, members)) {
///         lpw::Tape tape({.random = place.random(seed)});
///         ...
///         place.advance();  // and perhaps io::save_state(path, network, optimizer, place)
///       }
struct Place {
  std::int64_t epoch = 0, iteration = 0;  // the next minibatch's
  std::int64_t step = 0;                  // iterations done over all epochs

  [[nodiscard]] bool operator==(const Place&) const = default;
  /// An iteration is done.
  void advance() { ++iteration, ++step; }
  /// The epoch is. Throws OptionError where none of its iterations was said to be done.
  void end_epoch() {
    require<OptionError>(iteration > 0, "Place: epoch ", epoch,
                         " ends and no minibatch of it is done; call advance() "
                         "after each");
    ++epoch, iteration = 0;
  }
  /// The random numbers of this step's dropout: others in every step, and the same where it is taken again.
  [[nodiscard]] Philox random(std::uint64_t seed) const {
    return Philox(seed, Stream::dropout, static_cast<std::uint32_t>(step));
  }
};

}  // namespace lpw::inline LPW_ABI::data
