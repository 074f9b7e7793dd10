// GRU module.
#pragma once

#include <lpw/autograd/gru.hpp>
#include <lpw/nn/recurrent.hpp>

namespace lpw::inline LPW_ABI::nn {

/// What a GRU is among recurrent modules: gates reset, update, new.
template <class T, class D>
struct GruKind {
  using value_type = T;
  using device_type = D;
  /// Of a layer.
  using State = GruState<T, D>;
  static constexpr const char* name = "Gru";  // for messages
  static constexpr std::int64_t gates = 3;    // of each unit, as many rows of a weight

  /// Zeros, `rows` [K, B, H].
  [[nodiscard]] static State zero_state(const Shape& rows) { return {zeros<T, D>(rows)}; }

  /// A layer's pass over x [K, T, B, I] from a state.
  [[nodiscard]] static GruResult<T, D> over(const Variable<T, D>& x, const State& state,
                                            const RecurrentLayer<Accumulate<T>, D>& layer) {
    const Variable<T, D> hidden({state.hidden}, x.recording(), -1);
    return gru(x, hidden, layer.ih.on(x), layer.hh.on(x));
  }
};

/// A GRU, as PyTorch's.
template <class T, class D>
struct Gru : Recurrent<GruKind<T, D>> {
  using Recurrent<GruKind<T, D>>::Recurrent;
};

}  // namespace lpw::inline LPW_ABI::nn
