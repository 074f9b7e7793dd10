// The divergence of two distributions over classes, both given by their logits: distillation, consistency of members.
#pragma once

#include <lpw/autograd/sample_mean.hpp>
#include <lpw/primitives/kl_divergence.hpp>

namespace lpw::inline LPW_ABI {

/// See kl_divergence.
struct KlDivergenceOptions {
  ReductionOption reduction = Reduction::mean;  // whether the mean is wanted, or each sample's divergence
};

/// KL(softmax(p) || softmax(q)) = sum_c P_c (log P_c - log Q_c) >= 0 of logits p and q [K, B, classes]: the mean over
/// each member's minibatch, [K] (PyTorch's batchmean), or of each sample, [K, B]. The first of the two is the one that
/// expectations are taken by: a student q that learns from a teacher p by kl_divergence(p, q) covers all that p does
/// (forward KL); by kl_divergence(q, p) it keeps to where p is large (reverse KL). Either gets a gradient where it
/// wants one. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> kl_divergence(const Variable<T, D>& p, const Variable<T, D>& q,
                                                       KlDivergenceOptions options = {}) {
  const Shape& in = p.shape();
  require<ShapeError>(in.rank() == 3 && q.shape() == in, "kl_divergence: logits p are ", in, ", q ", q.shape(),
                      "; expected both [K B classes]");
  detail::require_elements("kl_divergence", in);
  const auto a = p.value(), b = q.value();
  const auto forward = kl_divergence_forward(a, b);
  auto losses = record(
      "kl_divergence", forward.losses,
      [a, b, forward, da = p.edge(), db = q.edge()](Tensor<Accumulate<T>, D> dlosses) {
        std::optional<Gradient<T, D>> of_p;
        if (da.needed()) of_p = Gradient<T, D>{Tensor<T, D>(a.shape()), false};  // not a sink: q may be p itself
        std::optional<Gradient<T, D>> of_q;
        if (db.needed()) of_q = db.sink(b.shape());
        kl_divergence_backward(a, b, forward, dlosses, of_p ? &*of_p : nullptr, of_q ? &*of_q : nullptr);
        of_q.reset();
        if (of_p) da.add(std::move(of_p->tensor));
      },
      p, q);
  return detail::reduced(std::move(losses), options.reduction);
}

/// With logits q that are data.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> kl_divergence(const Variable<T, D>& p, const Tensor<T, D>& q,
                                                       KlDivergenceOptions options = {}) {
  return kl_divergence(p, Variable<T, D>({q}, p.recording(), -1), options);
}

/// With logits p that are data.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> kl_divergence(const Tensor<T, D>& p, const Variable<T, D>& q,
                                                       KlDivergenceOptions options = {}) {
  return kl_divergence(Variable<T, D>({p}, q.recording(), -1), q, options);
}

}  // namespace lpw::inline LPW_ABI
