// The transforms of F(4, n), four outputs of a correlation with n taps (Lavin & Gray 2016, "Fast Algorithms for
// Convolutional Neural Networks"):  y = A^T [(G g) o (B^T d)]  for a patch d of n + 3 inputs, taps g and a tile of
// outputs y, on both axes of an image. The gradient of the taps is its adjoint, dg = G^T [(A dy) o (B^T d)].
// Interpolation points are 0, 1, -1, 2, -2 and infinity for 3 taps, 0, 1, -1, 2 and infinity for 2, and the same
// without infinity for 1, so that sums of correlations with 2 taps and with 1 share A^T.
//
// A correlation of stride S with 3 taps is the sum of S phases, each a correlation of stride 1 of every S-th input with
// every S-th tap: F(4, 3) where S = 1; F(4, 2) of taps 0 and 2 and F(4, 1) of tap 1 where S = 2.
#pragma once

#include <utility>

#include <lpw/cpu/winograd/vector.hpp>

namespace lpw::inline LPW_ABI::winograd {

/// Extent of a tile of outputs.
inline constexpr int tile = 4;

/// The products of tiles at a stride. A tile has a product for each of `points`, [patch, patch], and each pair of the
/// phases of rows and of columns that have that point: later phases lack the last.
template <int Stride>
struct Scheme {
  [[nodiscard]] static constexpr int taps(int phase) { return (3 - phase + Stride - 1) / Stride; }
  static constexpr int patch = tile + taps(0) - 1, points = patch * patch;

  /// The phases, of the first `phases`, that have row (or column) i of the points.
  [[nodiscard]] static constexpr int sharing(int i, int phases) {
    int count = 0;
    for (int f = 0; f < phases; ++f) count += i < tile + taps(f) - 1;
    return count;
  }
  /// The pairs of phases that have point (i, j) or point p, and which of them (row, column) is.
  [[nodiscard]] static constexpr int pairs(int i, int j, int phases) { return sharing(i, phases) * sharing(j, phases); }
  [[nodiscard]] static constexpr int pairs(int p, int phases) { return pairs(p / patch, p % patch, phases); }
  [[nodiscard]] static constexpr int pair(int j, int row, int column, int phases) {
    return row * sharing(j, phases) + column;
  }
  /// Values of a tile and channel at all points.
  [[nodiscard]] static constexpr int values(int phases) {
    int count = 0;
    for (int p = 0; p < points; ++p) count += pairs(p, phases);
    return count;
  }
  /// Products of a tile and pair of channels at all points, where phases go in and come out.
  [[nodiscard]] static constexpr int products(int in, int out) {
    int count = 0;
    for (int p = 0; p < points; ++p) count += pairs(p, in) * pairs(p, out);
    return count;
  }
};

/// Calls f(row phase, column phase), both constants, for all pairs.
template <int Phases, class F>
void for_each_pair(F&& f) {
  const auto call = [&]<int... N>(std::integer_sequence<int, N...>) {
    (f(std::integral_constant<int, N / Phases>(), std::integral_constant<int, N % Phases>()), ...);
  };
  call(std::make_integer_sequence<int, Phases * Phases>());
}

/// Floats from one point's matrix of `size` floats to the next point's: never a multiple of a page, for then all of
/// them would want the same few places in the caches.
[[nodiscard]] constexpr std::int64_t point_stride(std::int64_t size) { return size + 16; }

/// B^T d.
template <int Taps>
struct InputTransform;

template <>
struct InputTransform<3> {
  static constexpr int inputs = 6, outputs = 6;
  static void apply(const Lanes (&d)[to_size(inputs)], Lanes (&v)[to_size(outputs)]) {
    const Lanes a = d[4] - 4.f * d[2], b = d[3] - 4.f * d[1], c = d[4] - d[2], e = d[3] - d[1];
    v[0] = d[4] - 5.f * d[2] + 4.f * d[0];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + 2.f * e;
    v[4] = c - 2.f * e;
    v[5] = d[5] - 5.f * d[3] + 4.f * d[1];
  }
};

template <int Taps>
  requires(Taps < 3)
struct InputTransform<Taps> {
  static constexpr int inputs = tile + Taps - 1, outputs = inputs;
  static void apply(const Lanes (&d)[to_size(inputs)], Lanes (&v)[to_size(outputs)]) {
    const Lanes a = d[3] - d[1], b = d[3] - d[2];
    v[0] = a + 2.f * (d[0] - d[2]);
    v[1] = b - 2.f * d[1];
    v[2] = b - 2.f * (d[2] - d[1]);
    v[3] = a;
    if constexpr (Taps == 2) v[4] = d[4] - d[2] - 2.f * a;
  }
};

/// A^T m, of the points that correlations with `Taps` taps have.
template <int Taps>
struct OutputTransform;

template <>
struct OutputTransform<3> {
  static constexpr int inputs = 6, outputs = tile;
  static void apply(const Lanes (&m)[to_size(inputs)], Lanes (&y)[to_size(outputs)]) {
    const Lanes a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2.f * d;
    y[2] = a + 4.f * c;
    y[3] = b + 8.f * d + m[5];
  }
};

template <int Taps>
  requires(Taps < 3)
struct OutputTransform<Taps> {
  static constexpr int inputs = tile + Taps - 1, outputs = tile;
  static void apply(const Lanes (&m)[to_size(inputs)], Lanes (&y)[to_size(outputs)]) {
    const Lanes a = m[1] + m[2], b = m[1] - m[2];
    y[0] = m[0] + a + m[3];
    y[1] = b + 2.f * m[3];
    y[2] = a + 4.f * m[3];
    y[3] = b + 8.f * m[3];
    if constexpr (Taps == 2) y[3] += m[4];
  }
};

/// A dy, the adjoint of OutputTransform.
template <int Taps>
struct OutputGradientTransform;

template <>
struct OutputGradientTransform<3> {
  static constexpr int inputs = tile, outputs = 6;
  static void apply(const Lanes (&dy)[inputs], Lanes (&m)[to_size(outputs)]) {
    const Lanes a = dy[0] + dy[2], b = dy[1] + dy[3], c = dy[0] + 4.f * dy[2], d = dy[1] + 4.f * dy[3];
    m[0] = dy[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + 2.f * d;
    m[4] = c - 2.f * d;
    m[5] = dy[3];
  }
};

template <>
struct OutputGradientTransform<2> {
  static constexpr int inputs = tile, outputs = 5;
  static void apply(const Lanes (&dy)[inputs], Lanes (&m)[to_size(outputs)]) {
    const Lanes a = dy[0] + dy[2], b = dy[1] + dy[3];
    m[0] = dy[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = dy[0] + 4.f * dy[2] + 2.f * (dy[1] + 4.f * dy[3]);
    m[4] = dy[3];
  }
};

/// G g.
template <int Taps>
struct KernelTransform;

template <>
struct KernelTransform<3> {
  static constexpr int inputs = 3, outputs = 6;
  static void apply(const Lanes (&g)[to_size(inputs)], Lanes (&u)[to_size(outputs)]) {
    const Lanes a = -1.f / 6 * (g[0] + g[2]), b = -1.f / 6 * g[1], c = 1.f / 24 * g[0] + 1.f / 6 * g[2],
                d = 1.f / 12 * g[1];
    u[0] = 0.25f * g[0];
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + d;
    u[4] = c - d;
    u[5] = g[2];
  }
};

template <>
struct KernelTransform<2> {
  static constexpr int inputs = 2, outputs = 5;
  static void apply(const Lanes (&g)[to_size(inputs)], Lanes (&u)[to_size(outputs)]) {
    u[0] = 0.5f * g[0];
    u[1] = -0.5f * (g[0] + g[1]);
    u[2] = 1.f / 6 * (g[1] - g[0]);
    u[3] = 1.f / 6 * (g[0] + 2.f * g[1]);
    u[4] = g[1];
  }
};

template <>
struct KernelTransform<1> {
  static constexpr int inputs = 1, outputs = 4;
  static void apply(const Lanes (&g)[to_size(inputs)], Lanes (&u)[to_size(outputs)]) {
    u[0] = 0.5f * g[0];
    u[1] = -0.5f * g[0];
    u[2] = -1.f / 6 * g[0];
    u[3] = 1.f / 6 * g[0];
  }
};

/// G^T u, the adjoint of KernelTransform.
template <int Taps>
struct KernelGradientTransform;

template <>
struct KernelGradientTransform<3> {
  static constexpr int inputs = 6, outputs = 3;
  static void apply(const Lanes (&u)[to_size(inputs)], Lanes (&g)[to_size(outputs)]) {
    const Lanes a = -1.f / 6 * (u[1] + u[2]), b = u[3] + u[4];
    g[0] = 0.25f * u[0] + a + 1.f / 24 * b;
    g[1] = 1.f / 6 * (u[2] - u[1]) + 1.f / 12 * (u[3] - u[4]);
    g[2] = a + 1.f / 6 * b + u[5];
  }
};

template <int Taps>
  requires(Taps < 3)
struct KernelGradientTransform<Taps> {
  static constexpr int inputs = tile + Taps - 1, outputs = Taps;
  static void apply(const Lanes (&u)[to_size(inputs)], Lanes (&g)[to_size(outputs)]) {
    g[0] = 0.5f * (u[0] - u[1]) + 1.f / 6 * (u[3] - u[2]);
    if constexpr (Taps == 2) g[1] = u[4] - 0.5f * u[1] + 1.f / 6 * (u[2] + 2.f * u[3]);
  }
};

/// Transforms both axes of a rectangle: read(row, column) gives its elements, write(row, column, value) takes those of
/// the result.
template <class Rows, class Columns, class Read, class Write>
[[gnu::always_inline]] inline void transform(Read&& read, Write&& write) {
  Lanes half[to_size(Rows::outputs)][to_size(Columns::inputs)];
#pragma GCC unroll 6
  for (int j = 0; j < Columns::inputs; ++j) {
    Lanes column[to_size(Rows::inputs)], result[to_size(Rows::outputs)];
#pragma GCC unroll 6
    for (int i = 0; i < Rows::inputs; ++i) column[i] = read(i, j);
    Rows::apply(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < Rows::outputs; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < Rows::outputs; ++i) {
    Lanes result[to_size(Columns::outputs)];
    Columns::apply(half[i], result);
#pragma GCC unroll 6
    for (int j = 0; j < Columns::outputs; ++j) write(i, j, result[j]);
  }
}

}  // namespace lpw::inline LPW_ABI::winograd
