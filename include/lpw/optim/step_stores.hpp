// What an optimizer steps, in the form of the flat stores: all weights, or those of a group with rates of its own.
//
// A group's columns lie among others. They are taken apart before a step of all weights, stepped by themselves, and put
// back over what that step made of them: a few copies, and nothing for runs without such a group.
#pragma once

#include <algorithm>
#include <vector>

#include <lpw/optim/named_state.hpp>

namespace lpw::inline LPW_ABI::optim {

/// What a group of weights is stepped with, before a schedule multiplies the rate. Given for late-phase weights or
/// coefficients of templates, both count: name the base weights' weight decay where that is to hold.
struct Rates {
  double learning_rate = 0;
  double weight_decay = 0;
  [[nodiscard]] bool operator==(const Rates&) const = default;
};

/// Weights with their gradients and an optimizer's states, and what they are stepped with.
template <class W, class D>
struct StepStores {
  nn::FlatPair<W, D> value, gradient;
  std::vector<NamedState<W, D>> states;
  Rates base, late;
  Tensor<double, D> base_rate, late_rate;  // [1] each: the learning rates of this step
};

namespace detail {

/// Calls f(segment, place) for the coefficients of templates in one of the stores, `place` their first column where
/// they lie side by side. Returns how many columns there are.
template <class Flat, class F>
std::int64_t for_each_coefficient(const Flat& flat, bool late_phase, F&& f) {
  std::int64_t columns = 0;
  for (const nn::Segment& segment : flat.segments) {
    if (segment.late_phase != late_phase || !contains(segment.group, Group::templates)) continue;
    f(segment, columns);
    columns += segment.size;
  }
  return columns;
}

/// The coefficients' columns of a pair, side by side.
template <class W, class D>
[[nodiscard]] nn::FlatPair<W, D> taken_apart(const nn::FlatWeights<W, D>& flat, const nn::FlatPair<W, D>& pair) {
  const auto take = [&](const Tensor<W, D>& from, bool late_phase) {
    Tensor<W, D> to({from.dim(0), for_each_coefficient(flat, late_phase, [](const auto&, std::int64_t) {})});
    for_each_coefficient(flat, late_phase, [&](const nn::Segment& segment, std::int64_t place) {
      auto columns = to.columns(place, {segment.size});
      copy(from.columns(segment.offset, {segment.size}), columns);
    });
    return to;
  };
  return {take(pair.base, false), take(pair.late, true)};
}

template <class W, class D>
void put_back(const nn::FlatPair<W, D>& apart, const nn::FlatWeights<W, D>& flat, const nn::FlatPair<W, D>& pair) {
  const auto put = [&](const Tensor<W, D>& from, const Tensor<W, D>& to, bool late_phase) {
    for_each_coefficient(flat, late_phase, [&](const nn::Segment& segment, std::int64_t place) {
      auto columns = to.columns(segment.offset, {segment.size});
      copy(from.columns(place, {segment.size}), columns);
    });
  };
  put(apart.base, pair.base, false);
  put(apart.late, pair.late, true);
}

}  // namespace detail

/// Whether any of the weights are coefficients of templates.
template <class W, class D>
[[nodiscard]] bool has_coefficients(const nn::FlatWeights<W, D>& flat) {
  return std::any_of(flat.segments.begin(), flat.segments.end(),
                     [](const nn::Segment& segment) { return contains(segment.group, Group::templates); });
}

/// The coefficients of templates among weights in the form of `flat`, copied side by side.
template <class W, class D>
[[nodiscard]] StepStores<W, D> taken_apart(const nn::FlatWeights<W, D>& flat, StepStores<W, D> stores) {
  stores.value = detail::taken_apart(flat, stores.value);
  stores.gradient = detail::taken_apart(flat, stores.gradient);
  for (auto& state : stores.states) state.pair = detail::taken_apart(flat, state.pair);
  return stores;
}

/// Puts their values and states back.
template <class W, class D>
void put_back(const StepStores<W, D>& apart, const nn::FlatWeights<W, D>& flat, const StepStores<W, D>& stores) {
  detail::put_back(apart.value, flat, stores.value);
  for (std::size_t i = 0; i < stores.states.size(); ++i)
    detail::put_back(apart.states[i].pair, flat, stores.states[i].pair);
}

}  // namespace lpw::inline LPW_ABI::optim
