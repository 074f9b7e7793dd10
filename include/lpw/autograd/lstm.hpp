// A layer of LSTM over a whole window of time steps, as one operation.
//
// Within a member time comes first, [K, T, B, ...], so that a step's rows lie together. The product with the input
// matrix is one over the window, that with the recurrent matrix one per step over the rows of all members; everything
// else of a step is one pass (see primitives/lstm.hpp). Forward keeps activated gates and cell states; backward turns
// the gates into their gradients in place, and the gradients of each matrix are one product over all steps. Gradients
// do not pass from window to window: states are data.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>
#include <lpw/primitives/lstm.hpp>

namespace lpw::inline LPW_ABI {

/// The input matrix [1 or K, 4H, I] or the recurrent matrix [1 or K, 4H, H], and what goes with it.
template <class W, class D>
struct LstmMatrix {
  Variable<W, D> weight, bias;  // bias [1 or K, 4H]
  std::optional<RankOneFactors<W, D>> factors = {};
  std::function<Tensor<W, D>()> remake = {};  // as MemberWeight's
};

/// h and c of a layer after a step, [K, B, H].
template <class T, class D>
struct LstmState {
  Tensor<T, D> hidden;
  Tensor<Accumulate<T>, D> cell;
};

/// What lstm() gives.
template <class T, class D>
struct LstmResult {
  Variable<T, D> y;       // h of all steps [K, T, B, H]
  LstmState<T, D> state;  // after the last
};

namespace detail {

/// A matrix of the layer as its passes see it: values, and where gradients go.
template <class W, class D>
struct LstmOperand {
  WeightRows<W, D> weight;
  Tensor<W, D> bias, output, input;  // factors empty where there are none
  Edge<W, D> to_weight, to_bias, to_output, to_input;

  explicit LstmOperand(const LstmMatrix<W, D>& m)
      : weight(m.weight, m.remake), bias(m.bias.rows()), to_weight(m.weight.row_edge()), to_bias(m.bias.row_edge()) {
    if (!m.factors) return;
    output = m.factors->output.rows();
    input = m.factors->input.rows();
    to_output = m.factors->output.row_edge();
    to_input = m.factors->input.row_edge();
  }

  /// Adds the gradients from inputs [K, M, C], the gradients of the pre-activations [K, M, 4H] and their sums over the
  /// rows [K, 1, 4H].
  template <class T>
  void add_gradients(const Tensor<T, D>& in, const Tensor<T, D>& dgates, const Tensor<W, D>& sums) const {
    if (to_bias.needed()) {
      auto target = to_bias.sink(bias.shape());
      linear_backward_bias(sums, target);
    }
    if (!output.empty()) return add_factored_gradients(in, dgates);
    if (!to_weight.needed()) return;
    auto target = to_weight.sink(weight.shape());
    linear_backward_weight(in, dgates, target);
  }

 private:
  template <class T>
  void add_factored_gradients(const Tensor<T, D>& in, const Tensor<T, D>& dgates) const {
    if (!to_weight.needed() && !to_output.needed() && !to_input.needed()) return;
    Gradient<W, D> product{Tensor<W, D>(weight.shape().with(0, in.dim(0))), false};
    linear_backward_weight(in, dgates, product);
    const auto target = [](const Edge<W, D>& edge, const Shape& shape) {
      return edge.needed() ? edge.sink(shape) : Gradient<W, D>{};
    };
    auto dweight = target(to_weight, weight.shape()), doutput = target(to_output, output.shape()),
         dinput = target(to_input, input.shape());
    rank_one_backward(product.tensor, weight.value(), output, input, dweight, doutput, dinput);
  }
};

/// The passes over a window.
template <class T, class D>
class LstmWindow {
 public:
  using W = Accumulate<T>;

  LstmWindow(Tensor<T, D> x, LstmState<T, D> start, LstmOperand<W, D> ih, LstmOperand<W, D> hh)
      : ih_(std::move(ih)),
        hh_(std::move(hh)),
        x_(std::move(x)),
        start_(std::move(start)),
        members_(x_.dim(0)),
        steps_(x_.dim(1)),
        batch_(x_.dim(2)),
        hidden_(hh_.weight.shape()[2]),
        y_({members_, steps_, batch_, hidden_}),
        cells_(y_.shape()) {
    cell_ = {sum_of_rows(ih_.bias, hh_.bias), ih_.output, hh_.output, hh_.input};
    if (!ih_.output.empty() || !hh_.output.empty()) {  // the cell takes factors for both matrices
      if (ih_.output.empty()) cell_.output_ih = full<W, D>({1, 4 * hidden_}, W(1));
      if (hh_.output.empty()) cell_.output_hh = full<W, D>({1, 4 * hidden_}, W(1));
    }
  }

  /// h of all steps.
  [[nodiscard]] const Tensor<T, D>& forward() {
    const auto scaled = ih_.input.empty() ? x_ : scale_channels_forward(x_, ih_.input);
    gates_ = linear_forward(rows_of(scaled), ih_.weight.value(), Tensor<W, D>())
                 .reshaped({members_, steps_, batch_, 4 * hidden_});
    ih_.weight.forget();
    auto recurrent = recurrent_weight<T>(hh_.weight.value(), steps_);
    hh_.weight.forget();
    auto previous = recurrent_state(
        hh_.input.empty() ? start_.hidden : scale_channels_forward(start_.hidden, hh_.input), recurrent);
    for (std::int64_t t = 0; t < steps_; ++t) {
      auto now = at_step(t);
      auto hidden = step_of(y_, t);
      Tensor<T, D> next(previous.shape());
      lstm_cell_forward(cell_, recurrent_forward(previous, recurrent), now, hidden, next);
      previous = std::move(next);
    }
    return y_;
  }

  [[nodiscard]] LstmState<T, D> state() const {
    return {clone(step_of(y_, steps_ - 1)), clone(step_of(cells_, steps_ - 1))};
  }

  /// Once only: the gates are overwritten.
  void backward(const Tensor<T, D>& dy, const Edge<T, D>& to_x, const Edge<T, D>& to_hidden,
                const Edge<W, D>& to_cell) {
    std::optional recurrent(recurrent_weight<T>(hh_.weight.value(), steps_));
    auto product = zeros<T, D>({members_, batch_, hidden_});
    auto dcell = zeros<W, D>(product.shape());
    Tensor<T, D> before({members_, batch_, 4 * hidden_});
    for (std::int64_t t = steps_ - 1; t >= 0; --t) {
      auto now = at_step(t);
      lstm_cell_backward(cell_, step_of(dy, t), product, now, dcell, before);
      if (t > 0 || to_hidden.needed()) product = recurrent_backward_data(before, *recurrent);
    }
    recurrent.reset();
    if (to_cell.needed()) to_cell.add(std::move(dcell));
    if (to_hidden.needed()) add_scaled(units_of(product), hh_.input, to_hidden);
    add_parameter_gradients();
    if (to_x.needed()) add_input_gradient(to_x);
  }

 private:
  /// a + b of parameters [1 or K, C], which the cell takes as one.
  [[nodiscard]] static Tensor<W, D> sum_of_rows(const Tensor<W, D>& a, const Tensor<W, D>& b) {
    if (a.dim(0) < b.dim(0)) return sum_of_rows(b, a);
    const auto rows = a.contiguous() ? a : clone(a);
    return add_channels_forward(rows.reshaped({a.dim(0), 1, a.dim(1)}), b).reshaped(a.shape());
  }

  /// The first H columns of what a product with the recurrent matrix gives, [K, B, H].
  [[nodiscard]] Tensor<T, D> units_of(const Tensor<T, D>& product) const {
    if (product.dim(2) == hidden_) return product;
    Tensor<T, D> result({members_, batch_, hidden_});
    auto rows = result.reshaped({members_ * batch_, hidden_});
    copy(product.reshaped({members_ * batch_, product.dim(2)}).columns(0, {hidden_}), rows);
    return result;
  }

  /// Step t of [K, T, B, C] as [K, B, C].
  template <class V>
  [[nodiscard]] Tensor<V, D> step_of(const Tensor<V, D>& window, std::int64_t t) const {
    const std::int64_t columns = window.dim(3), length = batch_ * columns;
    return window.reshaped({members_, steps_ * length}).columns(t * length, {batch_, columns});
  }
  [[nodiscard]] LstmStep<T, D> at_step(std::int64_t t) const {
    return {step_of(gates_, t), t > 0 ? step_of(cells_, t - 1) : start_.cell, step_of(cells_, t)};
  }
  /// [K, T, B, C] as [K, T B, C].
  [[nodiscard]] Tensor<T, D> rows_of(const Tensor<T, D>& window) const {
    return window.reshaped({members_, steps_ * batch_, window.dim(3)});
  }

  /// h before each step, [K, T, B, H].
  [[nodiscard]] Tensor<T, D> hidden_before() const {
    const std::int64_t length = batch_ * hidden_, rest = (steps_ - 1) * length;
    Tensor<T, D> result(y_.shape());
    auto first = step_of(result, 0);
    copy(start_.hidden, first);
    auto others = result.reshaped({members_, steps_ * length}).columns(length, {rest});
    copy(y_.reshaped({members_, steps_ * length}).columns(0, {rest}), others);
    return result;
  }

  void add_parameter_gradients() const {
    const auto dgates = rows_of(gates_);
    Gradient<W, D> sums{Tensor<W, D>({members_, 4 * hidden_}), false};
    if (ih_.to_bias.needed() || hh_.to_bias.needed()) linear_backward_bias(dgates, sums);
    const auto rows = sums.tensor.reshaped({members_, 1, 4 * hidden_});
    ih_.add_gradients(rows_of(x_), dgates, rows);
    hh_.add_gradients(rows_of(hidden_before()), dgates, rows);
  }

  /// After add_parameter_gradients, which wants the gradients of the pre-activations without r_ih.
  void add_input_gradient(const Edge<T, D>& to_x) {
    Gradient<T, D> dgates{gates_, false};
    if (!ih_.output.empty()) scale_channels_backward_data(gates_, ih_.output, dgates);
    Gradient<T, D> dx{Tensor<T, D>({members_, steps_ * batch_, x_.dim(3)}), false};
    linear_backward_data(rows_of(gates_), ih_.weight.value(), dx);
    add_scaled(dx.tensor.reshaped(x_.shape()), ih_.input, to_x);
  }

  /// Adds `gradient` times a factor, if there is one.
  static void add_scaled(Tensor<T, D> gradient, const Tensor<W, D>& factor, const Edge<T, D>& to) {
    if (factor.empty()) return to.add(std::move(gradient));
    auto target = to.sink(gradient.shape());
    scale_channels_backward_data(gradient, factor, target);
  }

  LstmOperand<W, D> ih_, hh_;
  LstmCell<W, D> cell_;
  Tensor<T, D> x_;
  LstmState<T, D> start_;
  std::int64_t members_, steps_, batch_, hidden_;
  Tensor<T, D> gates_, y_;  // gates_ [K, T, B, 4H]: products with the input matrix, gates, and at last their gradients
  Tensor<W, D> cells_;      // [K, T, B, H]
};

template <class W, class D>
void check_lstm_matrix(const char* name, const LstmMatrix<W, D>& m, std::int64_t members, std::int64_t outputs,
                       std::int64_t inputs) {
  const Shape& weight = m.weight.shape();
  require<ShapeError>(weight.rank() == 3 && weight[1] == outputs && weight[2] == inputs, "lstm: weight_", name, " is ",
                      describe(weight, "KOI"), "; expected [1 or ", members, ", ", outputs, ", ", inputs, "]");
  const auto check_rows = [&](const char* what, const Shape& shape, std::int64_t columns) {
    require<ShapeError>(shape.rank() == 2 && shape[1] == columns, "lstm: ", what, name, " is ", shape,
                        "; expected [1 or ", members, ", ", columns, "]");
    require_member_rows("lstm", what, shape[0], members);
  };
  require_member_rows("lstm", "weight", weight[0], members);
  check_rows("bias_", m.bias.shape(), outputs);
  if (!m.factors) return;
  check_rows("rank-1 factor r of weight_", m.factors->output.shape(), outputs);
  check_rows("rank-1 factor s of weight_", m.factors->input.shape(), inputs);
}

}  // namespace detail

/// h of all steps, [K, T, B, H], from x [K, T, B, I] and the states before the first step, hidden and cell [K, B, H];
/// and the states after the last, as data. Formulas in primitives/lstm.hpp. Throws ShapeError.
template <class T, class D>
[[nodiscard]] LstmResult<T, D> lstm(const Variable<T, D>& x, const Variable<T, D>& hidden,
                                    const Variable<Accumulate<T>, D>& cell, const LstmMatrix<Accumulate<T>, D>& ih,
                                    const LstmMatrix<Accumulate<T>, D>& hh) {
  const Shape &in = x.shape(), &state = hidden.shape();
  require<ShapeError>(in.rank() == 4, "lstm: x is ", in, "; expected [K T B I]");
  require<ShapeError>(state.rank() == 3 && state[0] == in[0] && state[1] == in[2] && cell.shape() == state,
                      "lstm: x is ", describe(in, "KTBI"), ", hidden ", state, ", cell ", cell.shape(),
                      "; expected both [K B H]");
  detail::require_elements("lstm", in);
  detail::require_elements("lstm", state);
  detail::check_lstm_matrix("ih", ih, in[0], 4 * state[2], in[3]);
  detail::check_lstm_matrix("hh", hh, in[0], 4 * state[2], state[2]);
  detail::LstmWindow<T, D> window(x.value(), {hidden.value(), cell.value()}, detail::LstmOperand<Accumulate<T>, D>(ih),
                                  detail::LstmOperand<Accumulate<T>, D>(hh));
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
