// The functions of primitives/function.hpp in float. Which one is known when a kernel runs: all its threads take the
// same, so that a branch for each vector costs nothing that shows beside memory. Tails are formed without cancellation.
#pragma once

#include <cmath>

#include <lpw/kernels/elements.cuh>
#include <lpw/primitives/function.hpp>

namespace lpw::inline LPW_ABI::kernels {

namespace detail {

[[nodiscard]] __device__ __forceinline__ float logistic(float x) { return 1.f / (1.f + expf(-x)); }

/// 2 u of GELU's tanh form, x (1 + tanh(u)) / 2 = x logistic(2 u).
[[nodiscard]] __device__ __forceinline__ float gelu_argument(float x) {
  return 1.59576912f * (x + 0.044715f * x * x * x);
}

[[nodiscard]] __device__ __forceinline__ float normal_distribution(float x) { return 0.5f * erfcf(-0.707106781f * x); }

[[nodiscard]] __device__ __forceinline__ float gelu_slope(float x) {
  return normal_distribution(x) + x * 0.398942280f * expf(-0.5f * x * x);
}

[[nodiscard]] __device__ __forceinline__ float gelu_tanh_slope(float x) {
  const float u = gelu_argument(x), s = logistic(u), bend = s * logistic(-u);
  return bend == 0.f ? s : s + x * bend * 1.59576912f * (1.f + 0.134145f * x * x);  // x^2 may be infinite
}

/// f for each of N elements.
template <int N, class F>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> each(F f) {
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = f(j);
  return result;
}

}  // namespace detail

/// What a function takes: N elements of each operand, those that it does not read as zeros, and its constants.
template <int N>
struct FunctionTerms {
  Vector<float, N> x, y, b;
};

/// f(x, y, b), element by element.
template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> function_of(Function f, const FunctionTerms<N>& in,
                                                                      float scale, float shift) {
  using namespace detail;
  const auto &x = in.x, &y = in.y, &b = in.b;
  switch (f) {
    case Function::identity:
      return x;
    case Function::negative:
      return each<N>([&](int j) { return -x[j]; });
    case Function::affine:
      return each<N>([&](int j) { return scale * x[j] + shift; });
    case Function::spread:
      return each<N>([&](int j) { return scale * b[j]; });
    case Function::add:
      return each<N>([&](int j) { return x[j] + b[j]; });
    case Function::subtract:
      return each<N>([&](int j) { return x[j] - b[j]; });
    case Function::multiply:
      return each<N>([&](int j) { return x[j] * b[j]; });
    case Function::divide:
      return each<N>([&](int j) { return x[j] / b[j]; });
    case Function::product:
      return each<N>([&](int j) { return x[j] * y[j]; });
    case Function::divisor_slope:
      return each<N>([&](int j) { return -(x[j] / b[j]) * (y[j] / b[j]); });
    case Function::exp:
      return each<N>([&](int j) { return expf(x[j]); });
    case Function::log:
      return each<N>([&](int j) { return logf(x[j]); });
    case Function::sqrt:
      return each<N>([&](int j) { return sqrtf(x[j]); });
    case Function::sigmoid:
      return each<N>([&](int j) { return logistic(x[j]); });
    case Function::tanh:
      return each<N>([&](int j) { return tanhf(x[j]); });
    case Function::gelu:
      return each<N>([&](int j) { return x[j] * normal_distribution(x[j]); });
    case Function::gelu_tanh:
      return each<N>([&](int j) { return x[j] * logistic(gelu_argument(x[j])); });
    case Function::silu:
      return each<N>([&](int j) { return x[j] * logistic(x[j]); });
    case Function::exp_slope:
      return each<N>([&](int j) { return x[j] * expf(y[j]); });
    case Function::log_slope:
      return each<N>([&](int j) { return x[j] / y[j]; });
    case Function::sqrt_slope:
      return each<N>([&](int j) { return x[j] * 0.5f / sqrtf(y[j]); });
    case Function::sigmoid_slope:
      return each<N>([&](int j) { return x[j] * logistic(y[j]) * logistic(-y[j]); });
    case Function::tanh_slope:
      return each<N>([&](int j) { return x[j] * 4.f * logistic(2.f * y[j]) * logistic(-2.f * y[j]); });
    case Function::gelu_slope:
      return each<N>([&](int j) { return x[j] * gelu_slope(y[j]); });
    case Function::gelu_tanh_slope:
      return each<N>([&](int j) { return x[j] * gelu_tanh_slope(y[j]); });
    case Function::silu_slope:
      return each<N>([&](int j) { return x[j] * logistic(y[j]) * (1.f + y[j] * logistic(-y[j])); });
  }
  return x;
}

}  // namespace lpw::inline LPW_ABI::kernels
