// Functions of elements, and sums of them, over tensors of any layout: primitives/mapping.hpp. A walk says where each
// index lies in each tensor; finding that takes a division for each of its axes but the first, of which most walks have
// one or two.
#pragma once

#include <lpw/kernels/functions.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// The operands of a function, of which those that it does not read may be null.
template <class T, class B>
struct FunctionOperands {
  const T *x, *y;  // by the walk
  const B* b;
  Function function;
  float scale, shift;
  bool spread_b;  // b is repeated along the rows of the walk
};

template <class T, class B, class Out>
struct ApplyFunction {
  FunctionOperands<T, B> in;
  Out* out;
  bool accumulate;  // add to out
  Walk walk;        // an index is a vector
};

template <class T, class B, class Out>
struct SumFunction {
  FunctionOperands<T, B> in;
  Out* out;         // by `kept`
  float* partial;   // (part, result): where there are several parts, for a second launch to add up
  bool accumulate;  // add to out
  Walk kept, terms;
  bool along;  // neighbouring lanes take neighbouring terms, else neighbouring columns take neighbouring results
  int lanes, columns;    // threads that share a result, a power of two, and results of a block
  std::int64_t results;  // all
  int length, parts;     // terms of a part, and parts of a sum
};

namespace detail {

/// The operands at a place. N is 1, or all of them begin at 16 bytes and go on by elements, b perhaps repeated.
template <int N, class T, class B>
[[nodiscard]] __device__ __forceinline__ FunctionTerms<N> load_terms(const FunctionOperands<T, B>& in, std::int64_t x,
                                                                     std::int64_t y, std::int64_t b) {
  FunctionTerms<N> terms = {};
  if (reads_x(in.function)) terms.x = load_floats<N>(in.x + x);
  if (reads_y(in.function)) terms.y = load_floats<N>(in.y + y);
  if (!reads_b(in.function)) return terms;
  if (N > 1 && in.spread_b) {
    const float value = float(in.b[b]);
    terms.b = each<N>([&](int) { return value; });
  } else {
    terms.b = load_floats<N>(in.b + b);
  }
  return terms;
}

}  // namespace detail

/// out = f(x, y, b) at each place of the walk. N is widest<T> or 1.
template <class T, class B, class Out, int N>
__global__ void __launch_bounds__(element_threads, row_blocks) apply_function(const ApplyFunction<T, B, Out> p) {
  struct Loaded {
    FunctionTerms<N> terms;
    std::int64_t out;
  };
  const Stride at = Stride::of(p.walk.size());
  sweep<2>(
      at.steps,
      [&](int step) {
        const auto place = p.walk.place(static_cast<std::uint32_t>(at[step]));
        return Loaded{detail::load_terms<N>(p.in, place.element[0], place.element[1], place.element[2]),
                      place.element[Walk::result]};
      },
      [&](int, const Loaded& loaded) {
        auto value = function_of(p.in.function, loaded.terms, p.in.scale, p.in.shift);
        if (p.accumulate) {
          const auto before = load_floats<N>(p.out + loaded.out);
          LPW_UNROLL
          for (int j = 0; j < N; ++j) value[j] += before[j];
        }
        store_floats(p.out + loaded.out, value);
      });
}

/// The sum of f(x, y, b) over the terms, for each result. A thread adds up every lanes-th term of a part, and the lanes
/// meet in a tree: the order is the shape's.
template <class T, class B, class Out>
__global__ void __launch_bounds__(element_threads, row_blocks) sum_function(const SumFunction<T, B, Out> p) {
  SharedMemory shared;
  float* scratch = shared.take<float>(element_threads);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = p.along ? thread % p.lanes : thread / p.columns;
  const int column = p.along ? thread / p.lanes : thread % p.columns;
  const auto all = static_cast<int>(p.terms.size());
  for (int part = static_cast<int>(blockIdx.y); part < p.parts; part += static_cast<int>(gridDim.y)) {
    const int first = part * p.length, last = all - first < p.length ? all : first + p.length;
    for (std::int64_t tile = blockIdx.x; tile * p.columns < p.results; tile += gridDim.x) {
      const std::int64_t result = tile * p.columns + column;
      const auto at = p.kept.place(static_cast<std::uint32_t>(result < p.results ? result : 0));
      float sum = 0;
      for (int term = first + lane; result < p.results && term < last; term += p.lanes) {
        const auto place = p.terms.place(static_cast<std::uint32_t>(term));
        const auto terms = detail::load_terms<1>(p.in, at.element[0] + place.element[0],
                                                 at.element[1] + place.element[1], at.element[2] + place.element[2]);
        sum += function_of(p.in.function, terms, p.in.scale, p.in.shift)[0];
      }
      float* own = scratch + lane * p.columns + column;
      *own = sum;
      for (int half = p.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) *own += own[half * p.columns];
      }
      if (lane == 0 && result < p.results) {
        if (p.parts > 1) {
          p.partial[part * p.results + result] = *own;
        } else {
          Out& out = p.out[at.element[Walk::result]];
          out = Out(p.accumulate ? float(out) + *own : *own);
        }
      }
      __syncthreads();
    }
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
