// Rank-1 factors on the dense weights of a layer: member k computes with W_k = W o (r_k s_k^T)
// (Wen et al. 2020, "BatchEnsemble"; von Oswald et al. 2021). Release attaches them as ones; collapse folds them into W.
#pragma once

#include <optional>

#include <lpw/autograd/rank_one.hpp>
#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

template <class W, class D>
struct RankOne {
  Parameter<W, D> output;  // r [1 or K, O]
  Parameter<W, D> input;   // s [1 or K, C]

  RankOne(std::int64_t outputs, std::int64_t inputs)
      : output(full<W, D>({1, outputs}, W(1)), Group::rank_one), input(full<W, D>({1, inputs}, W(1)), Group::rank_one) {}

  /// The factors on the tape of x.
  template <class T>
  [[nodiscard]] RankOneFactors<W, D> on(const Variable<T, D>& x) const {
    return {output.on(x), input.on(x)};
  }
};

/// W o (r s^T) for a weight [1, O, ..., C] and single-row factors, in place.
template <class W, class D>
void fold(Parameter<W, D>& weight, const RankOne<W, D>& factors) {
  const auto r = to_host(factors.output.value()), s = to_host(factors.input.value());
  auto host = clone(to_host(weight.value()));
  const std::int64_t outputs = host.dim(1), inputs = host.dim(host.shape().rank() - 1), per_output = host.shape().size_from(2);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t i = 0; i < per_output; ++i) host.data()[o * per_output + i] *= r.data()[o] * s.data()[i % inputs];
  copy(to_device<D>(host), weight.value());
}

namespace detail {
struct AnyDense {
  template <class W, class D>
  void operator()(Parameter<W, D>&, std::optional<RankOne<W, D>>&) const {}
};
}  // namespace detail

/// A module that can have rank-1 factors: for_each_dense(f) calls f(weight, factors) for each of its dense weights [O, ..., C], a Parameter
/// and the std::optional<RankOne> beside it, which the module's forward applies where it is set.
template <class M>
concept HasDenseWeights = requires(M& module, detail::AnyDense f) {
  module.for_each_dense(f);
};

/// Adds rank-1 factors of ones to all dense weights of a module, which change nothing.
template <HasDenseWeights M>
void attach_rank_one(M& module) {
  module.for_each_dense([](auto& weight, auto& factors) { factors.emplace(weight.shape()[0], weight.shape()[-1]); });
}

/// Multiplies collapsed factors into the dense weights of a module and removes them.
template <HasDenseWeights M>
void fold_rank_one(M& module) {
  module.for_each_dense([](auto& weight, auto& factors) {
    if (factors) fold(weight, *factors);
    factors.reset();
  });
}

}  // namespace lpw::inline LPW_ABI::nn
