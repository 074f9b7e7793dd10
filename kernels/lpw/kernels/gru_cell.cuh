// The pointwise part of a GRU step, forward and backward: everything between one product with the recurrent matrix and
// the next, rank-1 factors included, in one read and one write. primitives/gru.hpp has the formulas; threads,
// parameters and rows are lstm_cell.cuh's.
#pragma once

#include <lpw/kernels/lstm_cell.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Biases and factors r over (gate, unit), s over (unit). Factors are ones where they are not there.
struct GruCellParameters {
  MemberParameter bias_ih, bias_hh, output_ih, output_hh, input_hh;
};

template <class T>
struct GruCellForward {
  GruCellParameters parameters;
  StepRows<T> gates;  // (gate, unit) in a row: the products with the input matrix, then the activated gates
  const T* product;   // (member, row, gate, unit): with the recurrent matrix
  StepRows<T> inner;  // the recurrent product of n, with its bias
  StepRows<const float> carried_before;  // h_{t-1}
  StepRows<float> carried;               // h_t
  StepRows<T> hidden;                    // h_t, rounded
  T* next;                               // (member, row, column): h_t o s_hh, and zeros in the columns past the units
  int members, rows, units, columns;
};

template <class T>
struct GruCellBackward {
  GruCellParameters parameters;
  StepRows<T> gates;  // (gate, unit) in a row: the activated gates, then the gradients of the input's pre-activations
  StepRows<T> inner;  // forward's, then its gradient
  StepRows<const float> carried_before;  // h_{t-1}
  StepRows<const T> dy;                  // what h_t has from outside
  const T* product;                      // (member, row, column): the next step's `before` times the recurrent matrix
  float* dcarried;                       // (member, row, unit): what h_t has of the next step's h, then h_{t-1} of this
  T* before;                          // (member, row, gate, unit): the gradients of the recurrent pre-activations o r
  int members, rows, units, columns;  // of the product, those past the units are not read
};

namespace detail {

/// Elements from the start of a member's rows (gate, unit) of three gates to gate `which` at a place.
template <int N>
[[nodiscard]] __device__ __forceinline__ std::int64_t gru_gate(const UnitPlace<N>& place, int which) {
  return (place.row * 3 + which) * place.units + place.unit;
}

/// One gate's pre-activation: product r + b.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> gru_preactivation(const T* product, int member, int column,
                                                                            const MemberParameter& factor,
                                                                            const MemberParameter& bias) {
  auto result = load_floats<N>(product);
  const auto r = parameter_of<N>(factor, member, column), b = parameter_of<N>(bias, member, column);
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = fmaf(result[j], r[j], b[j]);
  return result;
}

}  // namespace detail

/// h_t, the gates, and h_t o s_hh for the next product. N is 4, or 1 if the number of units is not a multiple of that,
/// or an address or distance of members, or of rows of `next`, not of 4 elements; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, cell_blocks) gru_cell_forward(const GruCellForward<T> p) {
  detail::for_each_unit<N>(p.members, p.rows, p.units, [&](const detail::UnitPlace<N>& place) {
    T* gates = p.gates.data + place.member * p.gates.member_stride;
    const T* product = p.product + static_cast<std::int64_t>(place.member) * p.rows * 3 * p.units;
    Vector<float, N> gate[3], u;
    LPW_UNROLL
    for (int which = 0; which < 3; ++which) {
      const int column = which * p.units + place.unit;
      const std::int64_t at = detail::gru_gate(place, which);
      gate[which] =
          detail::gru_preactivation<N>(gates + at, place.member, column, p.parameters.output_ih, p.parameters.bias_ih);
      u = detail::gru_preactivation<N>(product + at, place.member, column, p.parameters.output_hh,
                                       p.parameters.bias_hh);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        gate[which][j] = which < 2 ? detail::sigmoid(gate[which][j] + u[j]) : tanhf(fmaf(gate[0][j], u[j], gate[2][j]));
      store_floats(gates + at, gate[which]);
    }
    const auto h_before =
        load_vector<N>(p.carried_before.data + place.member * p.carried_before.member_stride + place.state());
    const auto s = detail::parameter_of<N>(p.parameters.input_hh, place.member, place.unit);
    Vector<float, N> h, scaled;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      h[j] = fmaf(gate[1][j], h_before[j] - gate[2][j], gate[2][j]);
      scaled[j] = float(T(h[j])) * s[j];  // of h as others read it
    }
    store_floats(p.inner.data + place.member * p.inner.member_stride + place.state(), u);
    store_vector(p.carried.data + place.member * p.carried.member_stride + place.state(), h);
    store_floats(p.hidden.data + place.member * p.hidden.member_stride + place.state(), h);
    T* next = p.next + (static_cast<std::int64_t>(place.member) * p.rows + place.row) * p.columns;
    store_floats(next + place.unit, scaled);
    if (place.unit + N == p.units)
      for (int column = p.units; column < p.columns; ++column) next[column] = T(0.f);
  });
}

/// The gradients of the pre-activations, the recurrent ones times r_hh for the product with the recurrent matrix, and
/// what h_{t-1} has of h_t. N as above, with `product` for `next`; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, cell_blocks) gru_cell_backward(const GruCellBackward<T> p) {
  detail::for_each_unit<N>(p.members, p.rows, p.units, [&](const detail::UnitPlace<N>& place) {
    T *gates = p.gates.data + place.member * p.gates.member_stride,
      *inner = p.inner.data + place.member * p.inner.member_stride + place.state();
    const std::int64_t state = static_cast<std::int64_t>(place.member) * p.rows * p.units + place.state();
    T* before = p.before + static_cast<std::int64_t>(place.member) * p.rows * 3 * p.units;
    const auto s = detail::parameter_of<N>(p.parameters.input_hh, place.member, place.unit);
    const auto dy = load_floats<N>(p.dy.data + place.member * p.dy.member_stride + place.state()),
               product = load_floats<N>(
                   p.product + (static_cast<std::int64_t>(place.member) * p.rows + place.row) * p.columns + place.unit);
    const auto h_before =
        load_vector<N>(p.carried_before.data + place.member * p.carried_before.member_stride + place.state());
    auto carried = load_vector<N>(p.dcarried + state);
    auto u = load_floats<N>(inner);
    Vector<float, N> gate[3];
    LPW_UNROLL
    for (int which = 0; which < 3; ++which) gate[which] = load_floats<N>(gates + detail::gru_gate(place, which));
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float r = gate[0][j], z = gate[1][j], n = gate[2][j];
      const float dh = fmaf(product[j], s[j], dy[j]) + carried[j], dn = dh * (1.f - z) * (1.f - n * n);
      gate[0][j] = dn * u[j] * r * (1.f - r);
      gate[1][j] = dh * (h_before[j] - n) * z * (1.f - z);
      gate[2][j] = dn;
      u[j] = dn * r;
      carried[j] = dh * z;
    }
    store_vector(p.dcarried + state, carried);
    store_floats(inner, u);
    LPW_UNROLL
    for (int which = 0; which < 3; ++which) {
      const auto r = detail::parameter_of<N>(p.parameters.output_hh, place.member, which * p.units + place.unit);
      Vector<float, N> scaled;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) scaled[j] = float(T(which < 2 ? gate[which][j] : u[j])) * r[j];
      store_floats(gates + detail::gru_gate(place, which), gate[which]);
      store_floats(before + detail::gru_gate(place, which), scaled);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
