// What recurrent layers share as operations: the two matrices of a layer, how gradients get to them, and a window of
// time steps cut into steps.
//
// Within a member time comes first, [K, T, B, ...], so that a step's rows lie together, and a step is a view.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>
#include <lpw/primitives/lstm.hpp>

namespace lpw::inline LPW_ABI {

/// The input matrix [1 or K, G H, I] or the recurrent matrix [1 or K, G H, H] of a layer with G gates, and what goes
/// with it.
template <class W, class D>
struct RecurrentMatrix {
  Variable<W, D> weight, bias;                       // bias [1 or K, G H]
  std::optional<RankOneFactors<W, D>> factors = {};  // of the matrix, where members differ by these
  std::function<Tensor<W, D>()> remake = {};         // as MemberWeight's
};

namespace detail {

/// A matrix of the layer as its passes see it: values, and where gradients go.
template <class W, class D>
struct RecurrentOperand {
  WeightRows<W, D> weight;
  Tensor<W, D> bias, output, input;  // factors empty where there are none
  Edge<W, D> to_weight, to_bias, to_output, to_input;

  explicit RecurrentOperand(const RecurrentMatrix<W, D>& m)
      : weight(m.weight, m.remake), bias(m.bias.rows()), to_weight(m.weight.row_edge()), to_bias(m.bias.row_edge()) {
    if (!m.factors) return;
    output = m.factors->output.rows();
    input = m.factors->input.rows();
    to_output = m.factors->output.row_edge();
    to_input = m.factors->input.row_edge();
  }

  /// Whether products over `rows` rows of each member take W_k formed: it is small beside what its factors would scale.
  [[nodiscard]] bool is_formed(std::int64_t rows) const { return !output.empty() && weight.shape()[2] <= rows / 8; }
  /// W_k, [1 or K, G H, C].
  [[nodiscard]] Tensor<W, D> formed() const { return formed_weight(weight.value(), output, input); }

  /// Adds the gradients from inputs [K, M, C], the gradients of the pre-activations [K, M, G H] and their sums over the
  /// rows [K, 1, G H].
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

/// A window [K, T, B, ...] of a layer of H units, and its steps.
template <class T, class D>
struct RecurrentWindow {
  std::int64_t members, steps, batch, hidden;

  [[nodiscard]] Shape shape() const { return {members, steps, batch, hidden}; }

  /// Step t of [K, T, B, C] as [K, B, C].
  template <class V>
  [[nodiscard]] Tensor<V, D> step_of(const Tensor<V, D>& window, std::int64_t t) const {
    const std::int64_t columns = window.dim(3), length = batch * columns;
    return window.reshaped({members, steps * length}).columns(t * length, {batch, columns});
  }
  /// [K, T, B, C] as [K, T B, C].
  [[nodiscard]] Tensor<T, D> rows_of(const Tensor<T, D>& window) const {
    return window.reshaped({members, steps * batch, window.dim(3)});
  }
  /// The first H columns of what a product with the recurrent matrix gives, [K, B, H].
  [[nodiscard]] Tensor<T, D> units_of(const Tensor<T, D>& product) const {
    if (product.dim(2) == hidden) return product;
    Tensor<T, D> result({members, batch, hidden});
    auto rows = result.reshaped({members * batch, hidden});
    copy(product.reshaped({members * batch, product.dim(2)}).columns(0, {hidden}), rows);
    return result;
  }
  /// What comes before each step, [K, T, B, H], of `start` [K, B, H] and what comes after each.
  [[nodiscard]] Tensor<T, D> shifted(const Tensor<T, D>& start, const Tensor<T, D>& after) const {
    const std::int64_t length = batch * hidden, rest = (steps - 1) * length;
    Tensor<T, D> result(after.shape());
    auto first = step_of(result, 0);
    copy(start, first);
    auto others = result.reshaped({members, steps * length}).columns(length, {rest});
    copy(after.reshaped({members, steps * length}).columns(0, {rest}), others);
    return result;
  }
};

/// Adds `gradient` times a factor, if there is one.
template <class T, class W, class D>
void add_scaled(Tensor<T, D> gradient, const Tensor<W, D>& factor, const Edge<T, D>& to) {
  if (factor.empty()) return to.add(std::move(gradient));
  auto target = to.sink(gradient.shape());
  scale_channels_backward_data(gradient, factor, target);
}

/// Whether the input matrix of a layer is formed for the products of a window.
template <class T, class W, class D>
[[nodiscard]] bool forms_input(const RecurrentWindow<T, D>& window, const RecurrentOperand<W, D>& ih) {
  return ih.is_formed(window.steps * window.batch);
}

/// r of the input matrix as a layer's cell applies it to input_products; empty where there is none, or the matrix is
/// formed.
template <class T, class W, class D>
[[nodiscard]] Tensor<W, D> output_in_cell(const RecurrentWindow<T, D>& window, const RecurrentOperand<W, D>& ih) {
  return forms_input(window, ih) ? Tensor<W, D>() : ih.output;
}

/// The products of x [K, T, B, I] with the input matrix, [K, T, B, G H], without what is left for the cell.
template <class T, class W, class D>
[[nodiscard]] Tensor<T, D> input_products(const RecurrentWindow<T, D>& window, const Tensor<T, D>& x,
                                          RecurrentOperand<W, D>& ih) {
  const bool formed = forms_input(window, ih);
  const auto scaled = formed || ih.input.empty() ? x : scale_channels_forward(x, ih.input);
  auto gates = linear_forward(window.rows_of(scaled), formed ? ih.formed() : ih.weight.value(), Tensor<W, D>());
  ih.weight.forget();
  return gates.reshaped({window.members, window.steps, window.batch, gates.dim(2)});
}

/// Adds x's gradient, from the gradients of the pre-activations, `dgates` [K, T, B, G H]; where those times r are
/// needed, they are put into `memory`, which may be dgates, or into memory of their own where it is empty.
template <class T, class W, class D>
void add_input_gradient(const RecurrentWindow<T, D>& window, const RecurrentOperand<W, D>& ih,
                        const Tensor<T, D>& dgates, Tensor<T, D> memory, const Shape& x, const Edge<T, D>& to_x) {
  Gradient<T, D> dx{Tensor<T, D>({window.members, window.steps * window.batch, x[3]}), false};
  if (forms_input(window, ih)) {
    linear_backward_data(window.rows_of(dgates), ih.formed(), dx);
    return to_x.add(dx.tensor.reshaped(x));
  }
  Gradient<T, D> scaled{dgates, false};
  if (!ih.output.empty()) {
    scaled.tensor = memory.empty() ? Tensor<T, D>(dgates.shape()) : std::move(memory);
    scale_channels_backward_data(dgates, ih.output, scaled);
  }
  linear_backward_data(window.rows_of(scaled.tensor), ih.weight.value(), dx);
  add_scaled(dx.tensor.reshaped(x), ih.input, to_x);
}

/// What can be done about states of another K or B.
inline constexpr const char* states_cure =
    "; after a release, or with another B, begin with zeros: start(K, B), of a layer alone zero_states(K, B)";

template <class W, class D>
void check_recurrent_matrix(const char* operation, const char* name, const RecurrentMatrix<W, D>& m,
                            std::int64_t members, std::int64_t outputs, std::int64_t inputs) {
  const Shape& weight = m.weight.shape();
  require<ShapeError>(weight.rank() == 3 && weight[1] == outputs && weight[2] == inputs, operation, ": weight_", name,
                      " is ", describe(weight, "KOI"), "; expected [1 or ", members, ", ", outputs, ", ", inputs, "]");
  const auto check_rows = [&](const char* what, const Shape& shape, std::int64_t columns) {
    require<ShapeError>(shape.rank() == 2 && shape[1] == columns, operation, ": ", what, name, " is ", shape,
                        "; expected [1 or ", members, ", ", columns, "]");
    require_member_rows(operation, what, shape[0], members);
  };
  require_member_rows(operation, "weight", weight[0], members);
  check_rows("bias_", m.bias.shape(), outputs);
  if (!m.factors) return;
  check_rows("rank-1 factor r of weight_", m.factors->output.shape(), outputs);
  check_rows("rank-1 factor s of weight_", m.factors->input.shape(), inputs);
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
