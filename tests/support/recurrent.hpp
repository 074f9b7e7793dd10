// What the tests of recurrent operations share: sizes of a window with its operands, and rows of parameters as plain
// numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <ostream>
#include <vector>

#include "support/gradient_check.hpp"

namespace lpw::test {

/// Sizes, and how many rows each kind of parameter has; of an operation with so many gates and states of [K, B, H].
struct RecurrentCase {
  std::int64_t members, steps, batch, inputs, hidden, weight_rows = 1, bias_rows = 1,
                                                      factor_rows = 0;  // 0: without factors

  [[nodiscard]] Shape x() const { return {members, steps, batch, inputs}; }
  [[nodiscard]] Shape state() const { return {members, batch, hidden}; }

  /// x, the states, and for each matrix weight, bias and the factors.
  [[nodiscard]] std::vector<DoubleTensor> inputs_for(std::int64_t gates, std::size_t states) const {
    std::vector<Shape> shapes{x()};
    shapes.insert(shapes.end(), states, state());
    for (const std::int64_t columns : {inputs, hidden}) {
      shapes.push_back({weight_rows, gates * hidden, columns});
      shapes.push_back({bias_rows, gates * hidden});
      if (factor_rows > 0)
        shapes.insert(shapes.end(), {Shape{factor_rows, gates * hidden}, Shape{factor_rows, columns}});
    }
    std::vector<DoubleTensor> result;
    for (const Shape& shape : shapes)
      result.push_back(random_tensor<double>(shape, static_cast<std::uint32_t>(100 + result.size())));
    return result;
  }
};

inline std::ostream& operator<<(std::ostream& stream, const RecurrentCase& c) {
  return stream << "x " << describe(c.x(), "KTBI") << " H=" << c.hidden << " rows of weights " << c.weight_rows
                << ", biases " << c.bias_rows << ", factors " << c.factor_rows;
}

[[nodiscard]] inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// Row k of a parameter, W o (r s^T) if factors are given.
[[nodiscard]] inline std::vector<double> matrix_of(const std::vector<DoubleTensor>& in, std::size_t at, bool factors,
                                                   std::int64_t k) {
  const auto row = [&](std::size_t i) { return in[i].dim(0) == 1 ? in[i].data() : in[i].row(k); };
  const std::int64_t outputs = in[at].dim(1), columns = in[at].dim(2);
  std::vector<double> result(row(at), row(at) + outputs * columns);
  if (factors)
    for (std::int64_t i = 0; i < outputs * columns; ++i)
      result[std::size_t(i)] *= row(at + 2)[i / columns] * row(at + 3)[i % columns];
  return result;
}

[[nodiscard]] inline std::vector<double> vector_of(const DoubleTensor& tensor, std::int64_t k) {
  const double* row = tensor.dim(0) == 1 ? tensor.data() : tensor.row(k);
  return {row, row + tensor.shape().size_from(1)};
}

inline const std::vector<RecurrentCase> recurrent_cases = {
    {.members = 1, .steps = 5, .batch = 2, .inputs = 3, .hidden = 4},
    {.members = 3, .steps = 5, .batch = 2, .inputs = 3, .hidden = 2, .factor_rows = 3},
    {.members = 3, .steps = 6, .batch = 4, .inputs = 3, .hidden = 2, .factor_rows = 3},  // the input matrix is formed
    {.members = 2, .steps = 4, .batch = 4, .inputs = 2, .hidden = 2, .weight_rows = 2, .factor_rows = 1},  // so is this
    {.members = 2, .steps = 3, .batch = 3, .inputs = 2, .hidden = 3, .bias_rows = 2, .factor_rows = 1},
    {.members = 2,
     .steps = 2,
     .batch = 2,
     .inputs = 3,
     .hidden = 2,
     .weight_rows = 2,
     .bias_rows = 2,
     .factor_rows = 2},
    {.members = 2, .steps = 1, .batch = 1, .inputs = 1, .hidden = 1, .weight_rows = 2}};

}  // namespace lpw::test
