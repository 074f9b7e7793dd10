// Maps over [K, M, C] with a coefficient per member and channel: a thread stays with its channels and goes down a chunk
// of the rows, so that it reads its coefficients once.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// The coefficients of a thread's channels: row `member` of a parameter (member, channel) whose rows lie `stride`
/// apart, 0 if shared.
template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> load_coefficients(const float* parameter, std::int64_t stride,
                                                                            const MemberPlace& place) {
  Vector<float, N> result = {};
  if (place.steps == 0) return result;
  const float* first = parameter + place.member * stride + place.channel + place.column * N;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = first[j];
  return result;
}

/// y = f(x, before, j) for each of this thread's elements, j the channel among its N; `before` is y's old value if
/// `accumulate`, else 0.
template <int N, class T, class F>
__device__ __forceinline__ void map_rows(const MemberPlace& place, const T* x, T* y, bool accumulate, F f) {
  const auto write = [&](int step, const Vector<T, N>& in, const Vector<T, N>& before) {
    Vector<T, N> result;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) result[j] = T(f(float(in[j]), float(before[j]), j));
    store_vector(y + place.element(step), result);
  };
  const auto load = [&](const T* from, int step) { return load_vector<N>(from + place.element(step)); };
  if (accumulate) {
    struct Row {
      Vector<T, N> x, before;
    };
    sweep<2>(
        place.steps,
        [&](int step) {
          return Row{load(x, step), load(y, step)};
        },
        [&](int step, const Row& row) { write(step, row.x, row.before); });
  } else {
    sweep<4>(
        place.steps, [&](int step) { return load(x, step); },
        [&](int step, const Vector<T, N>& row) { write(step, row, Vector<T, N>{}); });
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
