// Weights made of templates (Savarese & Maire 2019, "Learning implicitly recurrent CNNs through parameter sharing"): a
// weight [O, ..., C] is cut along its C inputs into parts, and part p of member k's is sum_t c_kpt T_t over E templates
// [O, ..., C / parts], which other layers use as well.
//
// For one layer this is one matrix product, [parts K, E] x [E, template], and its backward two. The layers of a bank
// could share it, but all their K copies would then have to be kept: made for each layer where it computes, and again
// in its backward, K copies of one layer's weight exist at a time. Templates are read once more for each layer by that,
// which is little beside writing K copies of its weight.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/layout.hpp>
#include <lpw/primitives/linear.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// A weight of that shape from coefficients [1 or K, parts, E] and templates [1 or K, E, O, ..., C / parts].
template <class W, class D>
class TemplateSum {
 public:
  TemplateSum(Tensor<W, D> coefficients, Tensor<W, D> templates, const Shape& weight)
      : coefficients_(std::move(coefficients)),
        templates_(std::move(templates)),
        weight_(weight),
        rows_(std::max(coefficients_.dim(0), templates_.dim(0))),
        parts_(coefficients_.dim(1)),
        count_(coefficients_.dim(2)),
        size_(weight.size() / parts_),
        inputs_(weight[-1] / parts_) {}

  /// [1 or K, O, ..., C].
  [[nodiscard]] Tensor<W, D> weight() const {
    Tensor<W, D> result(weight_.prepend(rows_));
    for (const MemberRange range : products()) {
      auto rows = result.rows(range.first, range.count);
      Tensor<W, D> direct = parts_ == 1 ? rows : Tensor<W, D>(rows.shape());
      Gradient<W, D> product{direct.reshaped({1, parts_ * range.count, size_}), false};
      linear_backward_data(by_part(range), matrix_of(templates_, range), product);  // c T
      if (parts_ > 1) put_parts(product.tensor, rows);
    }
    return result;
  }

  /// Adds the gradients that dy [1 or K, O, ..., C], the weight's, makes.
  void add_gradients(const Tensor<W, D>& dy, const Edge<W, D>& to_coefficients, const Edge<W, D>& to_templates) const {
    Tensor<W, D> dcoefficients;  // of all members, where they have their own
    if (to_coefficients.needed() && coefficients_.dim(0) == rows_) dcoefficients = Tensor<W, D>(coefficients_.shape());
    Gradient<W, D> dtemplates;
    if (to_templates.needed()) dtemplates = to_templates.sink(templates_.shape());
    for (const MemberRange range : products()) {
      const auto product = parts_of(dy.rows(range.first, range.count));
      if (to_templates.needed()) {
        Gradient<W, D> target{matrix_of(dtemplates.tensor, range), dtemplates.accumulate};
        linear_backward_weight(product, by_part(range), target);
      }
      if (!to_coefficients.needed()) continue;
      const auto by_part = linear_forward(product, matrix_of(templates_, range), Tensor<W, D>());
      auto rows =
          dcoefficients.empty() ? Tensor<W, D>(coefficients_.shape()) : dcoefficients.rows(range.first, range.count);
      put_by_member(by_part, rows);
      if (dcoefficients.empty()) to_coefficients.add(std::move(rows));
    }
    if (!dcoefficients.empty()) to_coefficients.add(std::move(dcoefficients));
  }

 private:
  /// The members of each matrix product: all together, or one by one where they have templates of their own.
  [[nodiscard]] std::vector<MemberRange> products() const {
    return member_chunks(rows_, templates_.dim(0) == 1 ? 0 : 1);
  }
  [[nodiscard]] static Tensor<W, D> rows_in(const Tensor<W, D>& tensor, MemberRange range) {
    return tensor.dim(0) == 1 ? tensor : tensor.rows(range.first, range.count);
  }
  /// The templates of these members as [1, E, template].
  [[nodiscard]] Tensor<W, D> matrix_of(const Tensor<W, D>& templates, MemberRange range) const {
    return rows_in(templates, range).reshaped({1, count_, size_});
  }

  /// Coefficients [1, parts members, E], a part's members together, so that what a product makes of them is a matrix.
  [[nodiscard]] Tensor<W, D> by_part(MemberRange range) const {
    const auto rows = rows_in(coefficients_, range);
    const Shape ordered{1, parts_ * rows.dim(0), count_};
    if (parts_ == 1 || rows.dim(0) == 1) return rows.reshaped(ordered);
    Tensor<W, D> result({parts_ * rows.dim(0), count_});
    for (std::int64_t p = 0; p < parts_; ++p) {
      auto part = result.rows(p * rows.dim(0), rows.dim(0));
      copy(rows.reshaped({rows.dim(0), parts_ * count_}).columns(p * count_, {count_}), part);
    }
    return result.reshaped(ordered);
  }
  /// The same order undone: [1, parts members, E] to [members, parts, E].
  void put_by_member(const Tensor<W, D>& by_part, Tensor<W, D>& rows) const {
    const std::int64_t members = rows.dim(0);
    const auto from = by_part.reshaped({parts_ * members, count_});
    for (std::int64_t p = 0; p < parts_; ++p) {
      auto part = rows.reshaped({members, parts_ * count_}).columns(p * count_, {count_});
      copy(from.rows(p * members, members), part);
    }
  }

  /// Part p of weights [members, O, ..., C] as [members O ..., C / parts], strided.
  [[nodiscard]] Tensor<W, D> part(const Tensor<W, D>& rows, std::int64_t p) const {
    return rows.reshaped({rows.size() / (parts_ * inputs_), parts_ * inputs_}).columns(p * inputs_, {inputs_});
  }
  /// Part p of a product [1, parts members, template], of the same shape.
  [[nodiscard]] Tensor<W, D> product_part(const Tensor<W, D>& product, std::int64_t p) const {
    const std::int64_t members = product.dim(1) / parts_;
    return product.reshaped({product.dim(1), size_})
        .rows(p * members, members)
        .reshaped({members * size_ / inputs_, inputs_});
  }
  void put_parts(const Tensor<W, D>& product, Tensor<W, D>& rows) const {
    for (std::int64_t p = 0; p < parts_; ++p) {
      auto to = part(rows, p);
      copy(product_part(product, p), to);
    }
  }
  [[nodiscard]] Tensor<W, D> parts_of(const Tensor<W, D>& rows) const {
    const Shape by_part{1, parts_ * rows.dim(0), size_};
    if (parts_ == 1) return rows.reshaped(by_part);
    Tensor<W, D> result(by_part);
    for (std::int64_t p = 0; p < parts_; ++p) {
      auto to = product_part(result, p);
      copy(part(rows, p), to);
    }
    return result;
  }

  Tensor<W, D> coefficients_, templates_;
  Shape weight_;
  std::int64_t rows_, parts_, count_, size_, inputs_;
};

template <class W, class D>
void check_templates(const Variable<W, D>& coefficients, const Variable<W, D>& templates, const Shape& weight) {
  const Shape &c = coefficients.shape(), &t = templates.shape();
  require<ShapeError>(c.rank() == 3 && c[1] > 0 && t.rank() == weight.rank() + 2 && c[2] == t[1],
                      "combine_templates: coefficients ", c, " and templates ", t, " for a weight ", weight,
                      "; expected [1 or K, parts, E] and [1 or K, E, one part of the weight]");
  require<ShapeError>(
      weight.rank() > 0 && weight[-1] == c[1] * t[-1] && t.slice(2, t.rank() - 1) == weight.slice(0, weight.rank() - 1),
      "combine_templates: ", c[1], " parts of templates ", t, " do not make a weight ", weight);
  require_member_rows("combine_templates", c[0] < t[0] ? "coefficients" : "templates", std::min(c[0], t[0]),
                      std::max(c[0], t[0]));
}

}  // namespace detail

/// W_k = sum_t c_kpt T_t for each part p of the last axis: coefficients [1 or K, parts, E] and templates
/// [1 or K, E, O, ..., C / parts] -> [1 or K, O, ..., C], where `weight` is [O, ..., C]. Throws ShapeError.
template <class W, class D>
[[nodiscard]] Variable<W, D> combine_templates(const Variable<W, D>& coefficients, const Variable<W, D>& templates,
                                               const Shape& weight) {
  detail::check_templates(coefficients, templates, weight);
  detail::TemplateSum<W, D> sum(coefficients.value(), templates.rows(), weight);
  return record(
      {"combine_templates", {{"parts", coefficients.shape()[1]}}}, sum.weight(),
      [sum, dc = coefficients.edge(), dt = templates.row_edge()](Tensor<W, D> dy) { sum.add_gradients(dy, dc, dt); },
      coefficients, templates);
}

}  // namespace lpw::inline LPW_ABI
