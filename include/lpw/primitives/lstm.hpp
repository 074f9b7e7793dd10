// LSTMs step by step: the products with the recurrent matrix, and the cell beside the products with the two matrices.
//
// Gates are PyTorch's, in its order: i, f, g, o, each H of the 4H columns. With the rank-1 factors r, s of the input
// matrix (ih) and of the recurrent matrix (hh), all ones where there are none (BatchEnsemble, Wen et al. 2020):
//   a_t = r_ih o ((x_t o s_ih) W_ih^T) + b_ih + r_hh o ((h_{t-1} o s_hh) W_hh^T) + b_hh
//   i, f, o = sigmoid(a), g = tanh(a);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
//
// recurrent_weight(weight, steps):
//   the recurrent matrix [1 or K, out, in], prepared for that many products in one direction, as the next two take it.
// recurrent_state(x, weight):
//   x [K, B, in] as [K, B, H'], as a product with such a weight takes it: H' >= in is the device's choice, and what is
//   past x is zeros. May share x's memory.
// recurrent_forward(x, weight): y [K, B, out] = x [K, B, H'] weight^T.
// recurrent_backward_data(dy, weight): dx [K, B, H'] = dy [K, B, out] weight.
// lstm_cell_forward(parameters, product, step, hidden, next):
//   from the products with the input matrix, in step.gates, and with the recurrent matrix, `product` [K, B, 4H], to the
//   activated gates in their place, c_t in step.cell and h_t in `hidden` [K, B, H]; and h_t o s_hh in `next`
//   [K, B, H'], as the next step's product takes it.
// lstm_cell_backward(parameters, dy, product, step, dcell, before):
//   from dy [K, B, H], the gradient that h_t has from outside, and `product` [K, B, H'], the next step's `before` times
//   the recurrent matrix, dh_t = dy + product o s_hh; with dc_t in `dcell` [K, B, H]. Leaves the gradients of the
//   pre-activations in step.gates, which held the activated gates, dc_{t-1} in `dcell`, and the former times r_hh in
//   `before` [K, B, 4H].
// `product`, `next`, `dcell` and `before` are contiguous.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Parameters of one row, shared, or a row for each member. Factors are both empty where no matrix has any.
template <class W, class D>
struct LstmCell {
  Tensor<W, D> bias;                  // b_ih + b_hh [1 or K, 4H]
  Tensor<W, D> output_ih, output_hh;  // r [1 or K, 4H]
  Tensor<W, D> input_hh;              // s_hh [1 or K, H]
};

/// One time step of a window, as [K, B, ...] whose member rows may lie apart.
template <class T, class D>
struct LstmStep {
  Tensor<T, D> gates;                          // [K, B, 4H], see the primitives
  const Tensor<Accumulate<T>, D> cell_before;  // c_{t-1} [K, B, H], which may be memory that must not be written
  Tensor<Accumulate<T>, D> cell;               // c_t [K, B, H]
};

}  // namespace lpw::inline LPW_ABI
