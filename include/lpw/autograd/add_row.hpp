// A row that the members share plus a row of each: what additive late-phase weights are made of.
#pragma once

#include <lpw/autograd/tape.hpp>

namespace lpw::inline LPW_ABI {

/// rows [K, ...] + row [1, ...] in each: [K, ...]. Both are parameters; the gradient of `row` is the sum over the
/// members. Throws ShapeError for other shapes.
template <class W, class D>
[[nodiscard]] Variable<W, D> add_row(const Variable<W, D>& rows, const Variable<W, D>& row) {
  const Shape &many = rows.shape(), &one = row.shape();
  require<ShapeError>(one.rank() == many.rank() && one.rank() > 0 && one == many.with(0, 1), "add_row: rows are ", many,
                      ", the row is ", one, "; expected [1 ...] of the same extents");
  return record(
      "add_row", add_row_forward(rows.rows(), row.rows()),
      [many, one, drows = rows.row_edge(), drow = row.row_edge()](const Tensor<W, D>& dy) {
        Gradient<W, D> to_rows, to_row;
        if (drows.needed()) to_rows = drows.sink(many);
        if (drow.needed()) to_row = drow.sink(one);
        add_row_backward(dy, to_rows, to_row);
      },
      rows, row);
}

}  // namespace lpw::inline LPW_ABI
