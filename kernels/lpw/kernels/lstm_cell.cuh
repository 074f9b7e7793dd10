// The pointwise part of an LSTM step, forward and backward: everything between one product with the recurrent matrix
// and the next, rank-1 factors included, in one read and one write. primitives/lstm.hpp has the formulas.
//
// A step is small (200 rows of 500 units are 25,000 threads at four units each), so it is bound by latency: threads
// take vectors of 4 whatever the type, and read the parameters, which all rows of a member share, through the cache, in
// vectors too where they begin at 16 bytes.
#pragma once

#include <cmath>
#include <cstdint>

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Blocks for which a multiprocessor has registers: a step has no more than that.
inline constexpr int cell_blocks = 2;

/// A parameter (member, column), whose rows lie `stride` elements apart; 0: shared. No pointer: it is not there.
struct MemberParameter {
  const float* data = nullptr;
  std::int64_t stride = 0;
  bool aligned = false;  // all rows, to 16 bytes

  MemberParameter() = default;
  MemberParameter(const float* first, std::int64_t row_stride)
      : data(first),
        stride(row_stride),
        aligned(reinterpret_cast<std::uintptr_t>(first) % 16 == 0 && row_stride % 4 == 0) {}
};

/// The sum b_ih + b_hh of the biases and factors r over (gate, unit), s over (unit). Factors are ones where they are
/// not there: then none is.
struct LstmCellParameters {
  MemberParameter bias, output_ih, output_hh, input_hh;
};

/// One time step of a window: (member, row, unit), with the rows of a member together and members some elements apart.
template <class V>
struct StepRows {
  V* data;
  std::int64_t member_stride;
};

template <class T>
struct LstmCellForward {
  LstmCellParameters parameters;
  StepRows<T> gates;  // (gate, unit) in a row: the products with the input matrix, then the activated gates
  const T* product;   // (member, row, gate, unit): with the recurrent matrix
  StepRows<const float> cell_before;  // c_{t-1}
  StepRows<float> cell;               // c_t
  StepRows<T> hidden;                 // h_t
  T* next;                            // (member, row, column): h_t o s_hh, and zeros in the columns past the units
  int members, rows, units, columns;
};

template <class T>
struct LstmCellBackward {
  LstmCellParameters parameters;
  StepRows<T> gates;  // (gate, unit) in a row: the activated gates, then the gradients of the pre-activations
  StepRows<const float> cell_before, cell;  // c_{t-1}, c_t
  StepRows<const T> dy;                     // what h_t has from outside
  const T* product;                   // (member, row, column): the next step's `before` times the recurrent matrix
  float* dcell;                       // (member, row, unit): dc_t, then dc_{t-1}
  T* before;                          // (member, row, gate, unit): the gradients of the pre-activations o r_hh
  int members, rows, units, columns;  // of the product, those past the units are not read
};

namespace detail {

/// Where a thread stands: N units of a row of a member.
template <int N>
struct UnitPlace {
  int member, unit;
  std::int64_t row, units;

  [[nodiscard]] __device__ __forceinline__ std::int64_t state() const { return row * units + unit; }
  [[nodiscard]] __device__ __forceinline__ std::int64_t gate(int which) const {
    return (row * 4 + which) * units + unit;
  }
};

/// Calls body(place) for this thread's share of [K, B, H / N].
template <int N, class Body>
__device__ __forceinline__ void for_each_unit(int members, int rows, int units, Body body) {
  const int vectors = units / N;
  const Stride at = Stride::of(static_cast<std::int64_t>(rows) * vectors);
  for (int member = static_cast<int>(blockIdx.y); member < members; member += static_cast<int>(gridDim.y))
    for (int step = 0; step < at.steps; ++step) {
      const int i = static_cast<int>(at[step]), row = i / vectors;
      body(UnitPlace<N>{member, (i - row * vectors) * N, row, units});
    }
}

template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> parameter_of(const MemberParameter& parameter, int member,
                                                                       int column, float otherwise = 1.f) {
  const std::int64_t first = member * parameter.stride + column;
  if constexpr (N == 4)
    if (parameter.data && parameter.aligned) return load_vector<N>(parameter.data + first);
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = parameter.data ? parameter.data[first + j] : otherwise;
  return result;
}

[[nodiscard]] __device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

/// One gate: product_ih r_ih + product_hh r_hh + (b_ih + b_hh), activated.
template <int N, class T, class Activation>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> activated_gate(const LstmCellForward<T>& p,
                                                                         const UnitPlace<N>& place, int which,
                                                                         const T* gates, const T* product,
                                                                         Activation activation) {
  const int column = which * p.units + place.unit;
  const auto parameter = [&](const MemberParameter& of) { return parameter_of<N>(of, place.member, column); };
  const auto ih = load_floats<N>(gates + place.gate(which)), hh = load_floats<N>(product + place.gate(which));
  const auto r_ih = parameter(p.parameters.output_ih), r_hh = parameter(p.parameters.output_hh);
  const auto b = parameter(p.parameters.bias);
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = activation(fmaf(ih[j], r_ih[j], fmaf(hh[j], r_hh[j], b[j])));
  return result;
}

}  // namespace detail

/// h_t, c_t, the gates, and h_t o s_hh for the next product. N is 4, or 1 if the number of units is not a multiple of
/// that, or an address or distance of members, or of rows of `next`, not of 4 elements; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, cell_blocks) lstm_cell_forward(const LstmCellForward<T> p) {
  detail::for_each_unit<N>(p.members, p.rows, p.units, [&](const detail::UnitPlace<N>& place) {
    T* gates = p.gates.data + place.member * p.gates.member_stride;
    const T* product = p.product + static_cast<std::int64_t>(place.member) * p.rows * 4 * p.units;
    const auto gate = [&](int which, auto activation) {
      return detail::activated_gate<N>(p, place, which, gates, product, activation);
    };
    const auto logistic = [](float x) { return detail::sigmoid(x); };
    const auto i = gate(0, logistic), f = gate(1, logistic), g = gate(2, [](float x) { return tanhf(x); }),
               o = gate(3, logistic);
    auto c = load_vector<N>(p.cell_before.data + place.member * p.cell_before.member_stride + place.state());
    const auto s = detail::parameter_of<N>(p.parameters.input_hh, place.member, place.unit);
    Vector<float, N> h, scaled;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      c[j] = fmaf(f[j], c[j], i[j] * g[j]);
      h[j] = o[j] * tanhf(c[j]);
      scaled[j] = float(T(h[j])) * s[j];  // of h as others read it
    }
    store_floats(gates + place.gate(0), i);
    store_floats(gates + place.gate(1), f);
    store_floats(gates + place.gate(2), g);
    store_floats(gates + place.gate(3), o);
    store_vector(p.cell.data + place.member * p.cell.member_stride + place.state(), c);
    store_floats(p.hidden.data + place.member * p.hidden.member_stride + place.state(), h);
    T* next = p.next + (static_cast<std::int64_t>(place.member) * p.rows + place.row) * p.columns;
    store_floats(next + place.unit, scaled);
    if (place.unit + N == p.units)
      for (int column = p.units; column < p.columns; ++column) next[column] = T(0.f);
  });
}

/// The gradients of the pre-activations, in place and times r_hh for the product with the recurrent matrix, and
/// dc_{t-1}. N as above, with `product` for `next`; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, cell_blocks) lstm_cell_backward(const LstmCellBackward<T> p) {
  detail::for_each_unit<N>(p.members, p.rows, p.units, [&](const detail::UnitPlace<N>& place) {
    T* gates = p.gates.data + place.member * p.gates.member_stride;
    const std::int64_t state = static_cast<std::int64_t>(place.member) * p.rows * p.units + place.state();
    T* before = p.before + static_cast<std::int64_t>(place.member) * p.rows * 4 * p.units;
    const auto s = detail::parameter_of<N>(p.parameters.input_hh, place.member, place.unit);
    const auto dy = load_floats<N>(p.dy.data + place.member * p.dy.member_stride + place.state()),
               product = load_floats<N>(
                   p.product + (static_cast<std::int64_t>(place.member) * p.rows + place.row) * p.columns + place.unit);
    const auto c_before =
        load_vector<N>(p.cell_before.data + place.member * p.cell_before.member_stride + place.state());
    const auto c = load_vector<N>(p.cell.data + place.member * p.cell.member_stride + place.state());
    auto dc = load_vector<N>(p.dcell + state);
    Vector<float, N> gate[4];
    LPW_UNROLL
    for (int which = 0; which < 4; ++which) gate[which] = load_floats<N>(gates + place.gate(which));
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float i = gate[0][j], f = gate[1][j], g = gate[2][j], o = gate[3][j];
      const float dh = fmaf(product[j], s[j], dy[j]), tanh_c = tanhf(c[j]),
                  d = fmaf(dh * o, 1.f - tanh_c * tanh_c, dc[j]);
      gate[0][j] = d * g * i * (1.f - i);
      gate[1][j] = d * c_before[j] * f * (1.f - f);
      gate[2][j] = d * i * (1.f - g * g);
      gate[3][j] = dh * tanh_c * o * (1.f - o);
      dc[j] = d * f;
    }
    store_vector(p.dcell + state, dc);
    LPW_UNROLL
    for (int which = 0; which < 4; ++which) {
      const auto r = detail::parameter_of<N>(p.parameters.output_hh, place.member, which * p.units + place.unit);
      Vector<float, N> scaled;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) scaled[j] = float(T(gate[which][j])) * r[j];
      store_floats(gates + place.gate(which), gate[which]);
      store_floats(before + place.gate(which), scaled);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
