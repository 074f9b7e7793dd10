// The ascent of sharpness-aware minimisation (Foret et al. 2021): the weights move up the loss before its gradient is
// taken again. T is 1, or |w| + eta where it is adaptive (ASAM, Kwon et al. 2021).
//
// ascent_scale(base, late, ascent): [1 + K], the factors of T^2 gradient by which the base weights and each member's
//   rows ascend: with A = |T g| of the base gradient, B_k = |T g| of member k's and B = sum_k B_k,
//   rho / sqrt(A^2 + B^2) and rho B / (sqrt(A^2 + B^2) B_k); 0 where the norm below it is 0, or the factor beyond W.
//   A store that does not ascend is left empty. Norms are summed in double, in an order that depends on the stores'
//   sizes alone.
// ascent_norms(base, late, ascent): [1 + K], A and each B_k of the same.
// ascend_weights(store, scale, ascent): kept = weight; weight += scale_r T^2 gradient; gradient = 0, for rows r [R,
// ...].
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// SAM's step uphill.
struct Ascent {
  double rho = 0.05;      // how far, in the metric of T
  bool adaptive = false;  // T = |w| + eta, else 1
  double eta = 0.01;      // of an adaptive T
};

/// A flat store [1, N] or [K, P], and memory for its weights as they were; tensors contiguous and of one shape.
template <class W, class D>
struct AscentStore {
  Tensor<W, D> weight, gradient, kept;  // of one shape
};

}  // namespace lpw::inline LPW_ABI
