// Element-wise kernels: one read of each input and one write of the output, arithmetic in float, rounded once.
//
// Over flat arrays: ReLU, addition, dropout. Over [K, M, C] with a coefficient per member and channel: the pending map
// of an activation (scale (x - mean) + shift, ReLU) and an added bias; a thread keeps the coefficients of its channels
// in registers while it goes down the rows.
#pragma once

#include <cmath>

#include <lpw/kernels/channel_map.cuh>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct Fill {
  T* to;  // (row, element)
  T value;
  std::int64_t rows, length, stride;  // elements from row to row
};

/// to = value.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) fill(const Fill<T> p) {
  const Stride at = Stride::of(p.length);
  for (std::int64_t row = blockIdx.y; row < p.rows; row += gridDim.y)
    for (int step = 0; step < at.steps; ++step) p.to[row * p.stride + at[step]] = p.value;
}

template <class From, class To>
struct Convert {
  const From* from;  // (row, element)
  To* to;
  std::int64_t rows, length, from_stride, to_stride;  // elements from row to row
  std::int64_t padded;                                // elements of a row of `to`: those past `length` become zeros
  bool accumulate;                                    // add to `to`
};

/// Elements of a step of convert, 16 bytes of the narrower type.
template <class From, class To>
inline constexpr int convert_width = widest<From> > widest<To> ? widest<From> : widest<To>;

/// to = from in another type, rounded. N is convert_width, or 1 if the start of a row is not aligned to 16 bytes.
template <class From, class To, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) convert(const Convert<From, To> p) {
  struct Terms {
    Vector<float, N> before, value;
  };
  const std::int64_t vectors = p.length / N;
  const Stride at = Stride::of(vectors);
  for (std::int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const From* from = p.from + row * p.from_stride;
    To* to = p.to + row * p.to_stride;
    if (p.accumulate) {
      sweep<2>(
          at.steps,
          [&](int step) {
            return Terms{load_floats<N>(to + at[step] * N), load_floats<N>(from + at[step] * N)};
          },
          [&](int step, const Terms& terms) {
            Vector<float, N> sum;
            LPW_UNROLL
            for (int j = 0; j < N; ++j) sum[j] = terms.before[j] + terms.value[j];
            store_floats(to + at[step] * N, sum);
          });
    } else {
      sweep<4>(
          at.steps, [&](int step) { return load_floats<N>(from + at[step] * N); },
          [&](int step, const Vector<float, N>& value) { store_floats(to + at[step] * N, value); });
    }
    if (blockIdx.x != 0) continue;
    for (std::int64_t i = vectors * N + threadIdx.x; i < p.padded; i += blockDim.x) {
      const float value = i < p.length ? float(from[i]) : 0.f;
      to[i] = To(p.accumulate ? float(to[i]) + value : value);
    }
  }
}

template <class T>
struct ReluForward {
  const T* x;  // (element)
  T* y;
  std::int64_t size;
};

/// y = max(x, 0); NaN stays NaN. N is widest<T>, or 1 if an address is not aligned to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) relu_forward(const ReluForward<T> p) {
  const T* const in[] = {p.x};
  map_elements<N>(p.size, in, p.y, [](const float(&x)[1]) { return x[0] <= 0.f ? 0.f : x[0]; });
}

template <class T>
struct ReluBackward {
  const T *y, *dy;  // (element): the forward's result, its gradient
  T* dx;
  std::int64_t size;
  bool accumulate;  // add to dx
};

/// dx = dy where y is positive, else 0. N as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) relu_backward(const ReluBackward<T> p) {
  if (p.accumulate) {
    const T* const in[] = {p.y, p.dy, p.dx};
    map_elements<N>(p.size, in, p.dx, [](const float(&x)[3]) { return x[2] + (x[0] > 0.f ? x[1] : 0.f); });
  } else {
    const T* const in[] = {p.y, p.dy};
    map_elements<N>(p.size, in, p.dx, [](const float(&x)[2]) { return x[0] > 0.f ? x[1] : 0.f; });
  }
}

template <class T>
struct Add {
  const T *a, *b;  // (row, element)
  T* sum;          // may be a: then b is added in place
  std::int64_t rows, length;
  std::int64_t a_stride, b_stride, sum_stride;  // elements from row to row
};

/// sum = a + b, row by row; contiguous tensors are one row. N is widest<T>, or 1 if the start of a row is not aligned
/// to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) add(const Add<T> p) {
  for (std::int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const T* const in[] = {p.a + row * p.a_stride, p.b + row * p.b_stride};
    map_elements<N>(p.length, in, p.sum + row * p.sum_stride, [](const float(&x)[2]) { return x[0] + x[1]; });
  }
}

template <class T>
struct Dropout {
  const T* x;                  // (member, run, element)
  T* y;                        // may be x
  std::int64_t members, runs;  // of a member; more than one where it has a part of each run
  std::int64_t length;         // elements of a run
  std::int64_t before, whole;  // a member's numbers of the first run's first element, and from run to run
  Philox random;
  const std::uint32_t* step;  // a number on the device to add to the random numbers' step; null: none
  std::uint64_t operation;    // counts the dropout operations of one pass
  std::int64_t first_member;  // of the pass
  float rate, keep;           // keep = 1 / (1 - rate)
  bool accumulate;            // add to y
};

namespace detail {

/// The numbers that decide over a member's elements 4 quad to 4 quad + 3; `random` is at the step.
template <class T>
[[nodiscard]] __device__ __forceinline__ Philox::Block dropout_bits(const Dropout<T>& p, const Philox& random,
                                                                    std::int64_t member, std::int64_t quad) {
  return random((p.operation << 48) + (static_cast<std::uint64_t>(p.first_member + member) << 36) +
                static_cast<std::uint64_t>(quad));
}

template <class T>
[[nodiscard]] __device__ __forceinline__ T dropped(const Dropout<T>& p, std::uint32_t bits, T x, T before) {
  const float value = Philox::to_uniform(bits) >= p.rate ? float(x) * p.keep : 0.f;
  return T(p.accumulate ? float(before) + value : value);
}

/// Quads of elements that a thread takes at a time.
template <class T, int N>
inline constexpr int dropout_quads = N >= 4 ? N / 4 : 1;

}  // namespace detail

/// y = x / (1 - rate) where element i of member k is kept, else 0; on dy it is its own backward. Four elements take one
/// draw, whose counter is that of the CPU's primitive, so the masks are equal. A thread takes max(N, 4) elements; N is
/// widest<T>, or 1 if a run's length is not a multiple of that, its first number none of 4, or an address not aligned
/// to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) dropout(const Dropout<T> p) {
  constexpr int quads = detail::dropout_quads<T, N>;
  const Philox random = p.random.later(p.step ? *p.step : 0u);
  for (std::int64_t run = blockIdx.y; run < p.members * p.runs; run += gridDim.y) {
    const std::int64_t member = run / p.runs, begin = run % p.runs * p.whole + p.before;
    const int missing = static_cast<int>(begin % 4);  // of the first quad; only where N is 1
    const T* x = p.x + run * p.length;
    T* y = p.y + run * p.length;
    const Stride at = Stride::of((p.length + missing + 4 * quads - 1) / (4 * quads));
    for (int step = 0; step < at.steps; ++step) {
      const std::int64_t first = at[step] * 4 * quads - missing;
      if constexpr (N > 1) {
        const auto in = load_vector<N>(x + first);
        Vector<T, N> out = {};
        if (p.accumulate) out = load_vector<N>(y + first);
        LPW_UNROLL
        for (int quad = 0; quad < quads; ++quad) {
          const auto bits = detail::dropout_bits(p, random, member, begin / 4 + at[step] * quads + quad);
          LPW_UNROLL
          for (int i = 0; i < 4; ++i)
            out[4 * quad + i] = detail::dropped(p, bits[i], in[4 * quad + i], out[4 * quad + i]);
        }
        store_vector(y + first, out);
      } else {
        const auto bits = detail::dropout_bits(p, random, member, begin / 4 + at[step]);
        LPW_UNROLL
        for (int i = 0; i < 4; ++i)
          if (first + i >= 0 && first + i < p.length)
            y[first + i] = detail::dropped(p, bits[i], x[first + i], p.accumulate ? y[first + i] : T(0.f));
      }
    }
  }
}

template <class T>
struct AffineForward {
  const T* x;                         // (member, row, channel)
  T* y;                               // may be x
  const float *mean, *scale, *shift;  // (member, channel)
  bool relu;
  MemberTiling tiling;
};

/// y = relu?(scale (x - mean) + shift), an explicit fma of the difference: batch norm's backward recomputes the ReLU's
/// mask with the same. N is widest<T>, or 1 if C is not a multiple of that or an address not aligned to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, row_blocks) affine_forward(const AffineForward<T> p) {
  for (int item = static_cast<int>(blockIdx.x) / p.tiling.group; item < p.tiling.items(); item += p.tiling.groups) {
    const MemberPlace place = MemberPlace::of(p.tiling, item);
    const auto mean = load_coefficients<N>(p.mean, p.tiling.channels, place);
    const auto scale = load_coefficients<N>(p.scale, p.tiling.channels, place);
    const auto shift = load_coefficients<N>(p.shift, p.tiling.channels, place);
    map_rows<N>(place, p.x, p.y, false, [&](float x, float, int j) {
      const float y = fmaf(x - mean[j], scale[j], shift[j]);
      return p.relu && y <= 0.f ? 0.f : y;
    });
  }
}

template <class T>
struct AddChannels {
  const T* x;                // (member, row, channel)
  T* y;                      // may be x
  const float* bias;         // (member, channel)
  std::int64_t bias_stride;  // elements from member to member; 0: shared
  MemberTiling tiling;
};

/// y = x + bias. N as above.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, row_blocks) add_channels(const AddChannels<T> p) {
  for (int item = static_cast<int>(blockIdx.x) / p.tiling.group; item < p.tiling.items(); item += p.tiling.groups) {
    const MemberPlace place = MemberPlace::of(p.tiling, item);
    const auto bias = load_coefficients<N>(p.bias, p.bias_stride, place);
    map_rows<N>(place, p.x, p.y, false, [&](float x, float, int j) { return x + bias[j]; });
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
