// The transforms of F(4x4, 3x3) (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"), interpolation points 0, 1, -1, 2,
// -2 and infinity:  y = A^T [(G g G^T) o (B^T d B)] A  for a patch d (6x6), a kernel g (3x3) and a tile of outputs y (4x4). The gradient of
// the kernel is its adjoint, dg = G^T [(A dy A^T) o (B^T d B)] G.
#pragma once

#include <lpw/cpu/winograd_vector.hpp>

namespace lpw::winograd {

/// Extents of a tile of outputs and of the patch of inputs it reads, and the number of products per tile.
inline constexpr int tile = 4, patch = 6, points = patch * patch;

/// Floats from one point's matrix of `size` floats to the next point's: never a multiple of a page, for then all 36 would want the same
/// few places in the caches.
[[nodiscard]] constexpr std::int64_t point_stride(std::int64_t size) { return size + 16; }

/// B^T d.
struct InputTransform {
  static constexpr int inputs = patch, outputs = patch;
  static void apply(const Lanes (&d)[inputs], Lanes (&v)[outputs]) {
    const Lanes a = d[4] - 4.f * d[2], b = d[3] - 4.f * d[1], c = d[4] - d[2], e = d[3] - d[1];
    v[0] = d[4] - 5.f * d[2] + 4.f * d[0];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + 2.f * e;
    v[4] = c - 2.f * e;
    v[5] = d[5] - 5.f * d[3] + 4.f * d[1];
  }
};

/// A^T m.
struct OutputTransform {
  static constexpr int inputs = patch, outputs = tile;
  static void apply(const Lanes (&m)[inputs], Lanes (&y)[outputs]) {
    const Lanes a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2.f * d;
    y[2] = a + 4.f * c;
    y[3] = b + 8.f * d + m[5];
  }
};

/// A dy, the adjoint of OutputTransform.
struct OutputGradientTransform {
  static constexpr int inputs = tile, outputs = patch;
  static void apply(const Lanes (&dy)[inputs], Lanes (&m)[outputs]) {
    const Lanes a = dy[0] + dy[2], b = dy[1] + dy[3], c = dy[0] + 4.f * dy[2], d = dy[1] + 4.f * dy[3];
    m[0] = dy[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + 2.f * d;
    m[4] = c - 2.f * d;
    m[5] = dy[3];
  }
};

/// G g.
struct KernelTransform {
  static constexpr int inputs = 3, outputs = patch;
  static void apply(const Lanes (&g)[inputs], Lanes (&u)[outputs]) {
    const Lanes a = -1.f / 6 * (g[0] + g[2]), b = -1.f / 6 * g[1], c = 1.f / 24 * g[0] + 1.f / 6 * g[2], d = 1.f / 12 * g[1];
    u[0] = 0.25f * g[0];
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + d;
    u[4] = c - d;
    u[5] = g[2];
  }
};

/// G^T u, the adjoint of KernelTransform.
struct KernelGradientTransform {
  static constexpr int inputs = patch, outputs = 3;
  static void apply(const Lanes (&u)[inputs], Lanes (&g)[outputs]) {
    const Lanes a = -1.f / 6 * (u[1] + u[2]), b = u[3] + u[4];
    g[0] = 0.25f * u[0] + a + 1.f / 24 * b;
    g[1] = 1.f / 6 * (u[2] - u[1]) + 1.f / 12 * (u[3] - u[4]);
    g[2] = a + 1.f / 6 * b + u[5];
  }
};

/// Transforms both axes of a square: read(row, column) gives its elements, write(row, column, value) takes those of the result.
template <class Transform, class Read, class Write>
inline void transform(Read&& read, Write&& write) {
  constexpr int in = Transform::inputs, out = Transform::outputs;
  Lanes half[out][in];
#pragma GCC unroll 6
  for (int j = 0; j < in; ++j) {
    Lanes column[in], result[out];
#pragma GCC unroll 6
    for (int i = 0; i < in; ++i) column[i] = read(i, j);
    Transform::apply(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < out; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < out; ++i) {
    Lanes result[out];
    Transform::apply(half[i], result);
#pragma GCC unroll 6
    for (int j = 0; j < out; ++j) write(i, j, result[j]);
  }
}

}  // namespace lpw::winograd
