// What an optimizer steps, in the form of the flat stores: all weights, or those of a group that is treated otherwise.
//
// A group's columns lie among others. They are taken apart before a step of all weights, stepped by themselves, and put
// back over what that step made of them: a few copies, and nothing for runs without such a group.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <lpw/optim/named_state.hpp>
#include <lpw/optim/parameter_groups.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Weights with their gradients and an optimizer's states, and what they are stepped with.
template <class W, class D>
struct StepStores {
  nn::FlatPair<W, D> value, gradient;      // [1, N] and [K, P] each
  std::vector<NamedState<W, D>> states;    // of the optimizer
  Rates base, late;                        // of either store
  Tensor<double, D> base_rate, late_rate;  // [1] each: the learning rates of this step
  std::int64_t missed = 0;                 // steps that the stores count and these weights were frozen in
  double decay_target = 0;                 // what weight decay pulls them to
};

namespace detail {

/// A rate where the device reads it, written only when it changes.
template <class D>
struct DeviceRate {
  void set(double rate) {
    if (value == rate) return;
    fill(there, rate);
    value = rate;
  }
  Tensor<double, D> there{{1}};
  std::optional<double> value = {};  // none yet
};

/// Weights that are stepped apart from the rest, and where they lie.
template <class D>
struct ApartWeights {
  Treatment how;
  std::vector<nn::Segment> segments = {};
  DeviceRate<D> base_rate = {}, late_rate = {};
};

/// Calls f(segment, place) for segments of one of the stores, `place` their first column where they lie side by side.
/// Returns how many columns there are.
template <class F>
std::int64_t for_each_place(const std::vector<nn::Segment>& segments, bool late_phase, F&& f) {
  std::int64_t columns = 0;
  for (const nn::Segment& segment : segments) {
    if (segment.late_phase != late_phase) continue;
    f(segment, columns);
    columns += segment.size;
  }
  return columns;
}

/// The segments' columns of a pair, side by side.
template <class W, class D>
[[nodiscard]] nn::FlatPair<W, D> taken_apart(const std::vector<nn::Segment>& segments, const nn::FlatPair<W, D>& pair) {
  const auto take = [&](const Tensor<W, D>& from, bool late_phase) {
    Tensor<W, D> to({from.dim(0), for_each_place(segments, late_phase, [](const auto&, std::int64_t) {})});
    for_each_place(segments, late_phase, [&](const nn::Segment& segment, std::int64_t place) {
      auto columns = to.columns(place, {segment.size});
      copy(from.columns(segment.offset, {segment.size}), columns);
    });
    return to;
  };
  return {take(pair.base, false), take(pair.late, true)};
}

template <class W, class D>
void put_back(const nn::FlatPair<W, D>& apart, const std::vector<nn::Segment>& segments,
              const nn::FlatPair<W, D>& pair) {
  const auto put = [&](const Tensor<W, D>& from, const Tensor<W, D>& to, bool late_phase) {
    for_each_place(segments, late_phase, [&](const nn::Segment& segment, std::int64_t place) {
      auto columns = to.columns(segment.offset, {segment.size});
      copy(from.columns(place, {segment.size}), columns);
    });
  };
  put(apart.base, pair.base, false);
  put(apart.late, pair.late, true);
}

}  // namespace detail

/// The segments' weights, copied side by side.
template <class W, class D>
[[nodiscard]] StepStores<W, D> taken_apart(const std::vector<nn::Segment>& segments, StepStores<W, D> stores) {
  stores.value = detail::taken_apart(segments, stores.value);
  stores.gradient = detail::taken_apart(segments, stores.gradient);
  for (auto& state : stores.states) state.pair = detail::taken_apart(segments, state.pair);
  return stores;
}

/// Puts their values and states back.
template <class W, class D>
void put_back(const StepStores<W, D>& apart, const std::vector<nn::Segment>& segments, const StepStores<W, D>& stores) {
  detail::put_back(apart.value, segments, stores.value);
  for (std::size_t i = 0; i < stores.states.size(); ++i)
    detail::put_back(apart.states[i].pair, segments, stores.states[i].pair);
}

}  // namespace lpw::inline LPW_ABI::optim
