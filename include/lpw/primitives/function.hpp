// The functions of elements that operations are made of, by name, and how several tensors are walked over together:
// plain numbers, which kernels take as well.
#pragma once

#include <cstdint>

#include <lpw/tensor/dtype.hpp>

namespace lpw::inline LPW_ABI {

/// What apply_function and sum_function compute of an element of each operand, x, y and b, by a scale and a shift.
enum class Function : int {
  identity,       // x
  negative,       // -x
  affine,         // scale x + shift
  spread,         // scale b
  add,            // x + b
  subtract,       // x - b
  multiply,       // x b
  divide,         // x / b
  product,        // x y
  divisor_slope,  // -x y / b^2
  exp,            // from here on f(x)
  log,
  sqrt,
  sigmoid,
  tanh,
  gelu,
  gelu_tanh,
  silu,
  exp_slope,  // from here on x f'(y), in the same order
  log_slope,
  sqrt_slope,
  sigmoid_slope,
  tanh_slope,
  gelu_slope,
  gelu_tanh_slope,
  silu_slope
};

/// Whether it is x f'(y) of a function f of one variable.
[[nodiscard]] constexpr LPW_HOST_DEVICE bool is_slope(Function f) { return f >= Function::exp_slope; }
/// The f of such a one.
[[nodiscard]] constexpr LPW_HOST_DEVICE Function function_of_slope(Function f) {
  return static_cast<Function>(static_cast<int>(f) - static_cast<int>(Function::exp_slope) +
                               static_cast<int>(Function::exp));
}
/// The other way round.
[[nodiscard]] constexpr LPW_HOST_DEVICE Function slope_of(Function f) {
  return static_cast<Function>(static_cast<int>(f) - static_cast<int>(Function::exp) +
                               static_cast<int>(Function::exp_slope));
}

/// Whether it reads x.
[[nodiscard]] constexpr LPW_HOST_DEVICE bool reads_x(Function f) { return f != Function::spread; }
/// Whether it reads y.
[[nodiscard]] constexpr LPW_HOST_DEVICE bool reads_y(Function f) {
  return f == Function::product || f == Function::divisor_slope || is_slope(f);
}
/// Whether it reads b.
[[nodiscard]] constexpr LPW_HOST_DEVICE bool reads_b(Function f) {
  return (f >= Function::spread && f <= Function::divide) || f == Function::divisor_slope;
}

/// A walk over the indices of a shape, row-major, by four tensors at once: x, y, b and the result.
struct Walk {
  static constexpr int tensors = 4, result = 3;  // x, y, b and the result, whose number is 3

  int rank = 0;                          // axes, at most 6
  std::int64_t extent[6] = {};           // of each axis
  std::int64_t stride[tensors][6] = {};  // elements from one index to the next; 0: repeated, or in the result summed

  /// Where an index lies: the element of each tensor, and how many indices are left of its row from it on.
  struct Place {
    std::int64_t element[tensors];  // of each tensor
    std::int64_t left;              // of the row
  };

  /// Indices in all.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t size() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= extent[axis];
    return product;
  }
  /// Indices of a row, that is of the last axis.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t row() const { return rank ? extent[rank - 1] : 1; }
  /// From one index of a row to the next, in elements.
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t row_stride(int tensor) const {
    return rank ? stride[tensor][rank - 1] : 0;
  }
  /// `Index` is the type to divide in.
  template <class Index>
  [[nodiscard]] LPW_HOST_DEVICE constexpr Place place(Index index) const {
    Place at{{0, 0, 0, 0}, 1};
    for (int axis = rank - 1; axis >= 0; --axis) {
      const auto length = static_cast<Index>(extent[axis]);
      const Index rest = axis > 0 ? index / length : Index(0);
      const auto coordinate = static_cast<std::int64_t>(index - rest * length);
      if (axis == rank - 1) at.left = extent[axis] - coordinate;
      for (int tensor = 0; tensor < tensors; ++tensor) at.element[tensor] += coordinate * stride[tensor][axis];
      index = rest;
    }
    return at;
  }
};

}  // namespace lpw::inline LPW_ABI
