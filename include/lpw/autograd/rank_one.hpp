// A dense weight with rank-1 factors: member k computes with W_k = W o (r_k s_k^T). A convolution's weights are small
// beside its images, a table of a small vocabulary or a recurrent layer's input matrix beside their windows of text, so
// they are formed and not kept, and no scaled copy of an input or output is. K copies of one layer's weight live while
// it computes, and while its backward does; `member_chunk` bounds K.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/member_weight.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Throws ShapeError unless the factors fit a weight [1 or K, O, ..., C] of an operation on that many members.
template <class W, class D>
void check_rank_one(const char* operation, std::int64_t members, const Shape& weight,
                    const RankOneFactors<W, D>& factors) {
  const Shape &r = factors.output.shape(), &s = factors.input.shape();
  require<ShapeError>(r.rank() == 2 && r[1] == weight[1] && s.rank() == 2 && s[1] == weight[-1], operation,
                      ": rank-1 factors r ", describe(r, "KO"), " and s ", describe(s, "KC"), " of a weight ", weight,
                      "; expected r [1 or K, ", weight[1], "] and s [1 or K, ", weight[-1], "]");
  require_member_rows(operation, "rank-1 factor r", r[0], members);
  require_member_rows(operation, "rank-1 factor s", s[0], members);
}

/// W [1 or K, O, C] once for each of the members, contiguous.
template <class W, class D>
[[nodiscard]] Tensor<W, D> weight_of_each(const Tensor<W, D>& weight, std::int64_t members) {
  if (weight.dim(0) == members) return packed(weight);
  Tensor<W, D> result(weight.shape().with(0, members));
  for (std::int64_t k = 0; k < members; ++k) {
    auto row = result.rows(k, 1);
    copy(weight, row);
  }
  return result;
}

/// W_k = W o (r_k s_k^T) for every member that differs, from W [1 or K, O, C], r [1 or K, O] and s [1 or K, C].
template <class W, class D>
[[nodiscard]] Tensor<W, D> formed_weight(const Tensor<W, D>& weight, const Tensor<W, D>& output,
                                         const Tensor<W, D>& input) {
  const auto each = weight_of_each(weight, std::max({weight.dim(0), output.dim(0), input.dim(0)}));
  Gradient<W, D> scaled{Tensor<W, D>(each.shape()), false}, none_output, none_input;
  // The gradient of W is r s^T o (that of W_k): what is wanted here with W in the place of that gradient.
  rank_one_backward(each, weight, output, input, scaled, none_output, none_input);
  return scaled.tensor;
}

/// A weight [1 or K, O, ..., C] as the passes of an operation see it that wants the members' weights formed: a
/// convolution's kernels, an embedding's tables. Its values, with factors where there are any, and where the gradients
/// go.
template <class W, class D>
class FormedWeight {
 public:
  explicit FormedWeight(const MemberWeight<W, D>& weight) : rows_(weight), to_weight_(weight.rows.row_edge()) {
    if (!weight.factors) return;
    output_ = weight.factors->output.rows();
    input_ = weight.factors->input.rows();
    to_output_ = weight.factors->output.row_edge();
    to_input_ = weight.factors->input.row_edge();
  }

  [[nodiscard]] const Shape& shape() const { return rows_.shape(); }
  [[nodiscard]] bool needs_gradient() const { return to_weight_.needed() || to_output_.needed() || to_input_.needed(); }

  /// Keeps no rows for the backward pass that it can make again.
  void forget() { rows_.forget(); }
  /// The same where backward does not read value(): keeps but the rows that gradients of factors are made of.
  void forget_value() {
    if (output_.empty()) {
      rows_.drop();
    } else {
      rows_.forget();
    }
  }

  /// W, or W_k for every member that differs.
  [[nodiscard]] Tensor<W, D> value() const {
    if (output_.empty()) return rows_.value();
    return formed_weight(matrices(rows_.value()), output_, repeated_input()).reshaped(shape().with(0, members()));
  }

  /// Adds the gradients of all that it is made of; add(target) adds the gradient of value() to one of that shape, or
  /// writes it.
  template <class Add>
  void add_gradients(Add&& add) const {
    if (output_.empty()) {
      auto target = to_weight_.sink(shape());
      return add(target);
    }
    Gradient<W, D> product{Tensor<W, D>(shape().with(0, members())), false};
    add(product);
    const auto target = [](const Edge<W, D>& edge, const Shape& shape) {
      return edge.needed() ? edge.sink(shape) : Gradient<W, D>{};
    };
    auto dweight = target(to_weight_, shape()), doutput = target(to_output_, output_.shape());
    if (to_weight_.needed()) dweight.tensor = matrices(dweight.tensor);
    Gradient<W, D> dinput;
    if (to_input_.needed()) dinput.tensor = Tensor<W, D>(repeated(input_.shape()));
    rank_one_backward(matrices(product.tensor), matrices(rows_.value()), output_, repeated_input(), dweight, doutput,
                      dinput);
    if (!to_input_.needed()) return;
    auto sum = to_input_.sink(input_.shape());
    linear_backward_bias(dinput.tensor.reshaped({input_.dim(0), positions(), input_.dim(1)}), sum);
  }

 private:
  [[nodiscard]] std::int64_t members() const { return std::max({shape()[0], output_.dim(0), input_.dim(0)}); }
  /// Of a convolution's kernel; 1 of a table.
  [[nodiscard]] std::int64_t positions() const { return shape().size_from(2) / shape()[-1]; }

  /// Weights as matrices [rows, O, positions C].
  [[nodiscard]] Shape as_matrices(std::int64_t rows) const { return {rows, shape()[1], shape().size_from(2)}; }
  [[nodiscard]] Tensor<W, D> matrices(const Tensor<W, D>& weight) const {
    return weight.reshaped(as_matrices(weight.dim(0)));
  }

  /// s once for every position of the kernel: [1 or K, positions C].
  [[nodiscard]] Shape repeated(const Shape& input) const { return {input[0], positions() * input[1]}; }
  [[nodiscard]] Tensor<W, D> repeated_input() const {
    if (positions() == 1) return input_;
    Tensor<W, D> result(repeated(input_.shape()));
    for (std::int64_t p = 0; p < positions(); ++p) {
      auto columns = result.columns(p * input_.dim(1), {input_.dim(1)});
      copy(input_, columns);
    }
    return result;
  }

  WeightRows<W, D> rows_;
  Tensor<W, D> output_, input_;  // empty where there are no factors
  Edge<W, D> to_weight_, to_output_, to_input_;
};

}  // namespace detail
}  // namespace lpw::inline LPW_ABI
