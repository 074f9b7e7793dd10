// How a matrix product is cut into parts for the threads: by shape alone, so that its sums do not depend on their
// number. The libraries that compute the parts would cut by that number.
#pragma once

#include <lpw/cpu/base/matrix.hpp>
#include <lpw/cpu/base/parts.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Of c [rows, columns] = a [rows, depth] b [depth, columns]: parts of c's longer side, each a product of its own; or
/// where that is short and the depth long, as for the gradient of a small weight, parts of the depth, whose products
/// are added in order.
struct ProductCut {
  enum class Side { rows, columns, depth };
  Side side;
  std::int64_t length, unit, parts;  // of the side, in multiples of `unit` but for the last

  [[nodiscard]] static ProductCut of(std::int64_t rows, std::int64_t columns, std::int64_t depth) {
    const std::int64_t wanted =
        std::clamp<std::int64_t>(products_cost(rows * columns * depth) / least_part_cost, 1, most_parts);
    const bool by_rows = rows >= columns;
    const ProductCut outer = along(by_rows ? Side::rows : Side::columns, by_rows ? rows : columns, 32, wanted);
    if (outer.parts >= std::min<std::int64_t>(wanted, 8) || depth < 4 * std::max(rows, columns)) return outer;
    return along(Side::depth, depth, 256, std::min<std::int64_t>(wanted, 16));
  }

  [[nodiscard]] std::int64_t first(std::int64_t part) const {
    return std::min(length, part_begin(units(length, unit), parts, part) * unit);
  }

 private:
  static constexpr std::int64_t least_part_cost = 1 << 18, most_parts = 64;

  [[nodiscard]] static std::int64_t units(std::int64_t length, std::int64_t unit) { return (length + unit - 1) / unit; }
  [[nodiscard]] static ProductCut along(Side side, std::int64_t length, std::int64_t unit, std::int64_t wanted) {
    return {side, length, unit, std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, units(length, unit)))};
  }
};

/// c (+)= a b by multiply(a, b, c, accumulate), called for the parts on whatever thread.
template <class A, class B, class C, class Multiply>
void multiply_in_parts(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, bool accumulate,
                       Multiply&& multiply) {
  const auto cut = ProductCut::of(c.rows, c.columns, a.columns);
  if (cut.parts == 1) return multiply(a, b, c, accumulate);
  const std::int64_t cost = products_cost(c.rows * c.columns * a.columns) / cut.parts;
  if (cut.side != ProductCut::Side::depth)
    return parallel_for(cut.parts, cost, [&](std::int64_t part) {
      const std::int64_t first = cut.first(part), last = cut.first(part + 1);
      if (cut.side == ProductCut::Side::rows) {
        multiply(a.row_range(first, last), b, c.row_range(first, last), accumulate);
      } else {
        multiply(a, b.column_range(first, last), c.column_range(first, last), accumulate);
      }
    });
  using W = Accumulate<C>;
  Tensor<W, Cpu> partial({cut.parts, c.rows, c.columns});
  parallel_for(cut.parts, cost, [&](std::int64_t part) {
    const std::int64_t first = cut.first(part), last = cut.first(part + 1);
    multiply(a.column_range(first, last), b.row_range(first, last), matrix(partial.row(part), c.rows, c.columns),
             false);
  });
  Tensor<W, Cpu> sum({c.rows, c.columns});
  add_parts(std::as_const(partial), sum.data(), false);
  put_converted<W>(matrix(std::as_const(sum).data(), c.rows, c.columns), c, accumulate);
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
