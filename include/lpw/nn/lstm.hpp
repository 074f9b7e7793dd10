// LSTM module.
#pragma once

#include <lpw/autograd/lstm.hpp>
#include <lpw/nn/recurrent.hpp>

namespace lpw::inline LPW_ABI::nn {

/// What an LSTM is among recurrent modules: gates input, forget, cell, output.
template <class T, class D>
struct LstmKind {
  using value_type = T;
  using device_type = D;
  /// Of a layer.
  using State = LstmState<T, D>;
  static constexpr const char* name = "Lstm";  // for messages
  static constexpr std::int64_t gates = 4;     // of each unit, as many rows of a weight

  /// Zeros, `rows` [K, B, H].
  [[nodiscard]] static State zero_state(const Shape& rows) {
    return {zeros<T, D>(rows), zeros<Accumulate<T>, D>(rows)};
  }

  /// A layer's pass over x [K, T, B, I] from a state.
  [[nodiscard]] static LstmResult<T, D> over(const Variable<T, D>& x, const State& state,
                                             const RecurrentLayer<Accumulate<T>, D>& layer) {
    const Variable<T, D> hidden({state.hidden}, x.recording(), -1);
    const Variable<Accumulate<T>, D> cell({state.cell}, x.recording(), -1);
    return lstm(x, hidden, cell, layer.ih.on(x), layer.hh.on(x));
  }
};

/// An LSTM, as PyTorch's.
template <class T, class D>
struct Lstm : Recurrent<LstmKind<T, D>> {
  using Recurrent<LstmKind<T, D>>::Recurrent;
};

}  // namespace lpw::inline LPW_ABI::nn
