// A layer of GRU over a whole window of time steps, as one operation, as autograd/lstm.hpp is one of LSTM.
//
// Forward keeps activated gates, n's recurrent product, and h unrounded; backward turns the gates into the gradients of
// their pre-activations in place. Those of the recurrent ones differ in n alone, and take its place for the recurrent
// matrix when the input's has had its gradients. Gradients do not pass from window to window: states are data.
#pragma once

#include <optional>
#include <utility>

#include <lpw/autograd/recurrent.hpp>
#include <lpw/primitives/gru.hpp>

namespace lpw::inline LPW_ABI {

/// The input matrix [1 or K, 3H, I] or the recurrent matrix [1 or K, 3H, H], and what goes with it.
template <class W, class D>
using GruMatrix = RecurrentMatrix<W, D>;

/// h of a layer after a step, [K, B, H].
template <class T, class D>
struct GruState {
  Tensor<T, D> hidden;  // h
};

/// What gru() gives.
template <class T, class D>
struct GruResult {
  Variable<T, D> y;      // h of all steps [K, T, B, H]
  GruState<T, D> state;  // after the last
};

namespace detail {

/// The passes over a window.
template <class T, class D>
class GruWindow {
 public:
  using W = Accumulate<T>;

  GruWindow(Tensor<T, D> x, Tensor<T, D> start, RecurrentOperand<W, D> ih, RecurrentOperand<W, D> hh)
      : ih_(std::move(ih)),
        hh_(std::move(hh)),
        x_(std::move(x)),
        start_(std::move(start)),
        window_{x_.dim(0), x_.dim(1), x_.dim(2), hh_.weight.shape()[2]},
        cell_{ih_.bias, hh_.bias, output_in_cell(window_, ih_), hh_.output, hh_.input},
        carried_start_(carried_state(start_)),
        y_(window_.shape()),
        inner_(y_.shape()),
        carried_(y_.shape()) {}

  /// h of all steps.
  [[nodiscard]] const Tensor<T, D>& forward() {
    gates_ = input_products(window_, x_, ih_);
    auto recurrent = recurrent_weight<T>(hh_.weight.value(), window_.steps);
    hh_.weight.forget();
    auto previous = recurrent_state(hh_.input.empty() ? start_ : scale_channels_forward(start_, hh_.input), recurrent);
    for (std::int64_t t = 0; t < window_.steps; ++t) {
      auto now = at_step(t);
      auto hidden = window_.step_of(y_, t);
      Tensor<T, D> next(previous.shape());
      gru_cell_forward(cell_, recurrent_forward(previous, recurrent), now, hidden, next);
      previous = std::move(next);
    }
    return y_;
  }

  [[nodiscard]] GruState<T, D> state() const { return {clone(window_.step_of(y_, window_.steps - 1))}; }

  /// Once only: the gates are overwritten.
  void backward(const Tensor<T, D>& dy, const Edge<T, D>& to_x, const Edge<T, D>& to_hidden) {
    std::optional recurrent(recurrent_weight<T>(hh_.weight.value(), window_.steps));
    auto product = zeros<T, D>({window_.members, window_.batch, window_.hidden});
    auto dcarried = zeros<W, D>(product.shape());
    Tensor<T, D> before({window_.members, window_.batch, 3 * window_.hidden});
    for (std::int64_t t = window_.steps - 1; t >= 0; --t) {
      auto now = at_step(t);
      gru_cell_backward(cell_, window_.step_of(dy, t), product, now, dcarried, before);
      if (t > 0 || to_hidden.needed()) product = recurrent_backward_data(before, *recurrent);
    }
    recurrent.reset();
    if (to_hidden.needed()) {
      add_scaled(window_.units_of(product), hh_.input, to_hidden);
      auto target = to_hidden.sink(start_.shape());
      carried_state_backward(dcarried, target);
    }
    add_gradients(ih_, x_);
    if (to_x.needed()) add_input_gradient(window_, ih_, gates_, Tensor<T, D>(), x_.shape(), to_x);
    take_recurrent_gradients();
    add_gradients(hh_, window_.shifted(start_, y_));
  }

 private:
  [[nodiscard]] GruStep<T, D> at_step(std::int64_t t) const {
    return {window_.step_of(gates_, t), window_.step_of(inner_, t),
            t > 0 ? window_.step_of(carried_, t - 1) : carried_start_, window_.step_of(carried_, t)};
  }

  /// Those of a matrix and its bias, from what it multiplied, [K, T, B, C].
  void add_gradients(const RecurrentOperand<W, D>& matrix, const Tensor<T, D>& in) const {
    const auto dgates = window_.rows_of(gates_);
    Gradient<W, D> sums{Tensor<W, D>({window_.members, 3 * window_.hidden}), false};
    if (matrix.to_bias.needed()) linear_backward_bias(dgates, sums);
    matrix.add_gradients(window_.rows_of(in), dgates, sums.tensor.reshaped({window_.members, 1, 3 * window_.hidden}));
  }

  /// Puts the gradients of n's recurrent pre-activations in the place of the input's.
  void take_recurrent_gradients() {
    const std::int64_t rows = window_.members * window_.steps * window_.batch, hidden = window_.hidden;
    auto of_n = gates_.reshaped({rows, 3 * hidden}).columns(2 * hidden, {hidden});
    copy(inner_.reshaped({rows, hidden}), of_n);
  }

  RecurrentOperand<W, D> ih_, hh_;
  Tensor<T, D> x_, start_;
  RecurrentWindow<T, D> window_;
  GruCell<W, D> cell_;
  Tensor<W, D> carried_start_;
  Tensor<T, D> y_, inner_;  // [K, T, B, H]
  Tensor<W, D> carried_;    // [K, T, B, H]
  Tensor<T, D> gates_;      // [K, T, B, 3H]: products with the input matrix, gates, and at last their gradients
};

}  // namespace detail

/// h of all steps, [K, T, B, H], from x [K, T, B, I] and the state before the first step, hidden [K, B, H]; and the
/// state after the last, as data. Formulas in primitives/gru.hpp. Throws ShapeError.
template <class T, class D>
[[nodiscard]] GruResult<T, D> gru(const Variable<T, D>& x, const Variable<T, D>& hidden,
                                  const GruMatrix<Accumulate<T>, D>& ih, const GruMatrix<Accumulate<T>, D>& hh) {
  const Shape &in = x.shape(), &state = hidden.shape();
  detail::require_axes("gru", "[K T B I]", in.rank() == 4, in);
  require<ShapeError>(state.rank() == 3 && state[0] == in[0] && state[1] == in[2], "gru: x is ", describe(in, "KTBI"),
                      ", hidden ", state, "; expected [K B H]", detail::states_cure);
  detail::require_elements("gru", in);
  detail::require_elements("gru", state);
  detail::check_recurrent_matrix("gru", "ih", ih, in[0], 3 * state[2], in[3]);
  detail::check_recurrent_matrix("gru", "hh", hh, in[0], 3 * state[2], state[2]);
  detail::GruWindow<T, D> window(x.value(), hidden.value(), detail::RecurrentOperand<Accumulate<T>, D>(ih),
                                 detail::RecurrentOperand<Accumulate<T>, D>(hh));
  auto y = window.forward();
  auto after = window.state();
  const auto r = [](const auto& m) { return m.factors ? &m.factors->output : nullptr; };
  const auto s = [](const auto& m) { return m.factors ? &m.factors->input : nullptr; };
  auto result = record(
      "gru", std::move(y),
      [window = std::move(window), dx = x.edge(), dh = hidden.edge()](Tensor<T, D> dy) mutable {
        window.backward(dy, dx, dh);
      },
      x, hidden, ih.weight, ih.bias, r(ih), s(ih), hh.weight, hh.bias, r(hh), s(hh));
  if (Trace* trace = x.recording()->options.trace) trace->add_output(after.hidden);
  return {std::move(result), std::move(after)};
}

}  // namespace lpw::inline LPW_ABI
