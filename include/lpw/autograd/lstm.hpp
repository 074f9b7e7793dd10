// A layer of LSTM over a whole window of time steps, as one operation.
//
// Within a member time comes first, [K, T, B, ...], so that a step's rows lie together. The product with the input
// matrix is one over the window, that with the recurrent matrix one per step over the rows of all members; everything
// else of a step is one pass (see primitives/lstm.hpp). Forward keeps activated gates and cell states; backward turns
// the gates into their gradients in place, and the gradients of each matrix are one product over all steps. Gradients
// do not pass from window to window: states are data.
#pragma once

#include <optional>
#include <utility>

#include <lpw/autograd/recurrent.hpp>

namespace lpw::inline LPW_ABI {

/// The input matrix [1 or K, 4H, I] or the recurrent matrix [1 or K, 4H, H], and what goes with it.
template <class W, class D>
using LstmMatrix = RecurrentMatrix<W, D>;

/// h and c of a layer after a step, [K, B, H].
template <class T, class D>
struct LstmState {
  Tensor<T, D> hidden;            // h
  Tensor<Accumulate<T>, D> cell;  // c
};

/// What lstm() gives.
template <class T, class D>
struct LstmResult {
  Variable<T, D> y;       // h of all steps [K, T, B, H]
  LstmState<T, D> state;  // after the last
};

namespace detail {

/// The passes over a window.
template <class T, class D>
class LstmWindow {
 public:
  using W = Accumulate<T>;

  LstmWindow(Tensor<T, D> x, LstmState<T, D> start, RecurrentOperand<W, D> ih, RecurrentOperand<W, D> hh)
      : ih_(std::move(ih)),
        hh_(std::move(hh)),
        x_(std::move(x)),
        start_(std::move(start)),
        window_{x_.dim(0), x_.dim(1), x_.dim(2), hh_.weight.shape()[2]},
        y_(window_.shape()),
        cells_(y_.shape()) {
    cell_ = {sum_of_rows(ih_.bias, hh_.bias), output_in_cell(window_, ih_), hh_.output, hh_.input};
    if (!cell_.output_ih.empty() || !hh_.output.empty()) {  // the cell takes factors for both matrices
      if (cell_.output_ih.empty()) cell_.output_ih = full<W, D>({1, 4 * window_.hidden}, W(1));
      if (hh_.output.empty()) cell_.output_hh = full<W, D>({1, 4 * window_.hidden}, W(1));
    }
  }

  /// h of all steps.
  [[nodiscard]] const Tensor<T, D>& forward() {
    gates_ = input_products(window_, x_, ih_);
    auto recurrent = recurrent_weight<T>(hh_.weight.value(), window_.steps);
    hh_.weight.forget();
    auto previous = recurrent_state(
        hh_.input.empty() ? start_.hidden : scale_channels_forward(start_.hidden, hh_.input), recurrent);
    for (std::int64_t t = 0; t < window_.steps; ++t) {
      auto now = at_step(t);
      auto hidden = window_.step_of(y_, t);
      Tensor<T, D> next(previous.shape());
      lstm_cell_forward(cell_, recurrent_forward(previous, recurrent), now, hidden, next);
      previous = std::move(next);
    }
    return y_;
  }

  [[nodiscard]] LstmState<T, D> state() const {
    return {clone(window_.step_of(y_, window_.steps - 1)), clone(window_.step_of(cells_, window_.steps - 1))};
  }

  /// Once only: the gates are overwritten.
  void backward(const Tensor<T, D>& dy, const Edge<T, D>& to_x, const Edge<T, D>& to_hidden,
                const Edge<W, D>& to_cell) {
    std::optional recurrent(recurrent_weight<T>(hh_.weight.value(), window_.steps));
    auto product = zeros<T, D>({window_.members, window_.batch, window_.hidden});
    auto dcell = zeros<W, D>(product.shape());
    Tensor<T, D> before({window_.members, window_.batch, 4 * window_.hidden});
    for (std::int64_t t = window_.steps - 1; t >= 0; --t) {
      auto now = at_step(t);
      lstm_cell_backward(cell_, window_.step_of(dy, t), product, now, dcell, before);
      if (t > 0 || to_hidden.needed()) product = recurrent_backward_data(before, *recurrent);
    }
    recurrent.reset();
    if (to_cell.needed()) to_cell.add(std::move(dcell));
    if (to_hidden.needed()) add_scaled(window_.units_of(product), hh_.input, to_hidden);
    add_parameter_gradients();
    // The parameters have theirs: what is scaled may take the place of the gates.
    if (to_x.needed()) add_input_gradient(window_, ih_, gates_, gates_, x_.shape(), to_x);
  }

 private:
  /// a + b of parameters [1 or K, C], which the cell takes as one.
  [[nodiscard]] static Tensor<W, D> sum_of_rows(const Tensor<W, D>& a, const Tensor<W, D>& b) {
    if (a.dim(0) < b.dim(0)) return sum_of_rows(b, a);
    return add_channels_forward(packed(a).reshaped({a.dim(0), 1, a.dim(1)}), b).reshaped(a.shape());
  }

  [[nodiscard]] LstmStep<T, D> at_step(std::int64_t t) const {
    return {window_.step_of(gates_, t), t > 0 ? window_.step_of(cells_, t - 1) : start_.cell,
            window_.step_of(cells_, t)};
  }

  void add_parameter_gradients() const {
    const auto dgates = window_.rows_of(gates_);
    Gradient<W, D> sums{Tensor<W, D>({window_.members, 4 * window_.hidden}), false};
    if (ih_.to_bias.needed() || hh_.to_bias.needed()) linear_backward_bias(dgates, sums);
    const auto rows = sums.tensor.reshaped({window_.members, 1, 4 * window_.hidden});
    ih_.add_gradients(window_.rows_of(x_), dgates, rows);
    hh_.add_gradients(window_.rows_of(window_.shifted(start_.hidden, y_)), dgates, rows);
  }

  RecurrentOperand<W, D> ih_, hh_;
  LstmCell<W, D> cell_;
  Tensor<T, D> x_;
  LstmState<T, D> start_;
  RecurrentWindow<T, D> window_;
  Tensor<T, D> y_;
  Tensor<W, D> cells_;  // [K, T, B, H]
  Tensor<T, D> gates_;  // [K, T, B, 4H]: products with the input matrix, gates, and at last their gradients
};

}  // namespace detail

/// h of all steps, [K, T, B, H], from x [K, T, B, I] and the states before the first step, hidden and cell [K, B, H];
/// and the states after the last, as data. Formulas in primitives/lstm.hpp. Throws ShapeError.
template <class T, class D>
[[nodiscard]] LstmResult<T, D> lstm(const Variable<T, D>& x, const Variable<T, D>& hidden,
                                    const Variable<Accumulate<T>, D>& cell, const LstmMatrix<Accumulate<T>, D>& ih,
                                    const LstmMatrix<Accumulate<T>, D>& hh) {
  const Shape &in = x.shape(), &state = hidden.shape();
  detail::require_axes("lstm", "[K T B I]", in.rank() == 4, in);
  require<ShapeError>(state.rank() == 3 && state[0] == in[0] && state[1] == in[2] && cell.shape() == state,
                      "lstm: x is ", describe(in, "KTBI"), ", hidden ", state, ", cell ", cell.shape(),
                      "; expected both [K B H]", detail::states_cure);
  detail::require_elements("lstm", in);
  detail::require_elements("lstm", state);
  detail::check_recurrent_matrix("lstm", "ih", ih, in[0], 4 * state[2], in[3]);
  detail::check_recurrent_matrix("lstm", "hh", hh, in[0], 4 * state[2], state[2]);
  detail::LstmWindow<T, D> window(x.value(), {hidden.value(), cell.value()},
                                  detail::RecurrentOperand<Accumulate<T>, D>(ih),
                                  detail::RecurrentOperand<Accumulate<T>, D>(hh));
  auto y = window.forward();
  auto after = window.state();
  const auto r = [](const auto& m) { return m.factors ? &m.factors->output : nullptr; };
  const auto s = [](const auto& m) { return m.factors ? &m.factors->input : nullptr; };
  auto result = record(
      "lstm", std::move(y),
      [window = std::move(window), dx = x.edge(), dh = hidden.edge(), dc = cell.edge()](Tensor<T, D> dy) mutable {
        window.backward(dy, dx, dh, dc);
      },
      x, hidden, cell, ih.weight, ih.bias, r(ih), s(ih), hh.weight, hh.bias, r(hh), s(hh));
  if (Trace* trace = x.recording()->options.trace) {
    trace->add_output(after.hidden);
    trace->add_output(after.cell);
  }
  return {std::move(result), std::move(after)};
}

}  // namespace lpw::inline LPW_ABI
