// The functions of primitives/function.hpp in float or double on the CPU. Those of float are vectorised; tails are
// formed without cancellation, as 1 - sigmoid(x) = sigmoid(-x) and 1 + erf(x) = erfc(-x).
#pragma once

#include <cmath>

#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/cpu/base/transcendental.hpp>
#include <lpw/primitives/function.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The u of GELU's tanh form, x (1 + tanh(u)) / 2 = x sigmoid(2 u), doubled: Hendrycks & Gimpel (2016).
template <class W>
[[nodiscard]] inline W gelu_argument(W x) {
  return W(1.5957691216057308) * (x + W(0.044715) * x * x * x);  // 2 sqrt(2 / pi)
}

/// f(x) for a function of one variable.
template <Function f, class W>
[[nodiscard]] inline W function_at(W x) {
  if constexpr (f == Function::exp) return exponential(x);
  if constexpr (f == Function::log) return logarithm(x);
  if constexpr (f == Function::sqrt) return std::sqrt(x);
  if constexpr (f == Function::sigmoid) return sigmoid(x);
  if constexpr (f == Function::tanh) return hyperbolic_tangent(x);
  if constexpr (f == Function::gelu) return x * normal_distribution(x);
  if constexpr (f == Function::gelu_tanh) return x * sigmoid(gelu_argument(x));
  if constexpr (f == Function::silu) return x * sigmoid(x);
}

/// f'(x).
template <Function f, class W>
[[nodiscard]] inline W slope_at(W x) {
  if constexpr (f == Function::exp) return exponential(x);
  if constexpr (f == Function::log) return 1 / x;
  if constexpr (f == Function::sqrt) return W(0.5) / std::sqrt(x);
  if constexpr (f == Function::sigmoid) return sigmoid(x) * sigmoid(-x);
  if constexpr (f == Function::tanh) return 4 * sigmoid(2 * x) * sigmoid(-2 * x);
  if constexpr (f == Function::gelu) return normal_slope(x);
  if constexpr (f == Function::gelu_tanh) {
    const W u = gelu_argument(x), s = sigmoid(u), bend = s * sigmoid(-u);
    const W tail = x * bend * W(1.5957691216057308) * (1 + W(3 * 0.044715) * x * x);
    return bend == 0 ? s : s + tail;  // x^2 may be infinite
  }
  if constexpr (f == Function::silu) return sigmoid(x) * (1 + x * sigmoid(-x));
}

/// f(x, y, b).
template <Function f, class W>
[[nodiscard]] inline W function_of([[maybe_unused]] W x, [[maybe_unused]] W y, [[maybe_unused]] W b,
                                   [[maybe_unused]] W scale, [[maybe_unused]] W shift) {
  if constexpr (f == Function::identity) return x;
  if constexpr (f == Function::negative) return -x;
  if constexpr (f == Function::affine) return scale * x + shift;
  if constexpr (f == Function::spread) return scale * b;
  if constexpr (f == Function::add) return x + b;
  if constexpr (f == Function::subtract) return x - b;
  if constexpr (f == Function::multiply) return x * b;
  if constexpr (f == Function::divide) return x / b;
  if constexpr (f == Function::product) return x * y;
  if constexpr (f == Function::divisor_slope) return -(x / b) * (y / b);
  if constexpr (is_slope(f)) return x * slope_at<function_of_slope(f)>(y);
  if constexpr (f >= Function::exp && !is_slope(f)) return function_at<f>(x);
}

/// What an element costs, in passes.
[[nodiscard]] constexpr std::int64_t function_cost(Function f) { return f < Function::exp ? 1 : 16; }

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
