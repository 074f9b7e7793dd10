// The divergence of Kullback and Leibler of each sample's distributions P = softmax(p) and Q = softmax(q), of logits p
// and q [K, B, classes].
//
// kl_divergence_forward(p, q): losses_kb = KL(P || Q) = sum_c P_c (log P_c - log Q_c); a class of P_c = 0 counts 0.
// kl_divergence_backward(p, q, forward, dlosses, dp, dq): dp_c (+)= dlosses_kb P_c (log P_c - log Q_c - KL), dq_c (+)=
//   dlosses_kb (Q_c - P_c), from what forward left, and 0 where dlosses_kb is. A null target is not wanted.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// What forward leaves.
template <class W, class Device>
struct KlDivergence {
  Tensor<W, Device> losses;      // [K, B]
  Tensor<W, Device> statistics;  // [K, B, 4]: of p, then of q, the largest logit and sum exp(logit - largest)
};

}  // namespace lpw::inline LPW_ABI
