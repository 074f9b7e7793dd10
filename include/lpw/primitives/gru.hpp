// GRUs step by step: the cell between the products with the two matrices. Those with the recurrent matrix are
// primitives/lstm.hpp's.
//
// Gates are PyTorch's, in its order: r, z, n, each H of the 3H columns; r acts on the recurrent product with its bias
// (Cho et al. 2014 have it before the product). With the rank-1 factors r_ih, s_ih of the input matrix and r_hh, s_hh
// of the recurrent matrix, all ones where there are none:
//   a_t = r_ih o ((x_t o s_ih) W_ih^T) + b_ih,  u_t = r_hh o ((h_{t-1} o s_hh) W_hh^T) + b_hh
//   r, z = sigmoid(a + u), n = tanh(a + r u);  h_t = (1 - z) n + z h_{t-1}
// h is carried from step to step in W, unrounded, since what a step adds to it may be less than its rounding to T.
//
// carried_state(hidden): `hidden` [K, B, H], contiguous, as W. May share its memory.
// carried_state_backward(dcarried, dhidden): dhidden (+)= dcarried [K, B, H], rounded to T.
// gru_cell_forward(parameters, product, step, hidden, next):
//   from the products with the input matrix, in step.gates, and with the recurrent matrix, `product` [K, B, 3H], to the
//   activated gates in their place, u of n in step.inner, h_t in step.carried and, rounded, in `hidden` [K, B, H]; and
//   h_t o s_hh in `next` [K, B, H'], as the next step's product takes it.
// gru_cell_backward(parameters, dy, product, step, dcarried, before):
//   from dy [K, B, H], the gradient that h_t has from outside, `product` [K, B, H'], the next step's `before` times the
//   recurrent matrix, and `dcarried` [K, B, H], what the next step's h has of it: dh_t = dy + product o s_hh +
//   dcarried. Leaves the gradients of a in step.gates, that of n's u in step.inner, those of u times r_hh in `before`
//   [K, B, 3H], and z dh_t in `dcarried`.
// `product`, `next`, `dcarried` and `before` are contiguous.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// Parameters of one row, shared, or a row for each member. Factors are all empty where no matrix has any.
template <class W, class D>
struct GruCell {
  Tensor<W, D> bias_ih, bias_hh;      // [1 or K, 3H]
  Tensor<W, D> output_ih, output_hh;  // r [1 or K, 3H]
  Tensor<W, D> input_hh;              // s_hh [1 or K, H], or empty
};

/// One time step of a window, as [K, B, ...] whose member rows may lie apart.
template <class T, class D>
struct GruStep {
  Tensor<T, D> gates, inner;                      // [K, B, 3H] and [K, B, H], see the primitives
  const Tensor<Accumulate<T>, D> carried_before;  // h_{t-1} [K, B, H], which may be memory that must not be written
  Tensor<Accumulate<T>, D> carried;               // h_t [K, B, H]
};

}  // namespace lpw::inline LPW_ABI
