// Rank-1 factors on a dense weight: member k computes with W_k = W o (r_k s_k^T)
// (Wen et al. 2020, "BatchEnsemble"; von Oswald et al. 2021). Release attaches them as ones; collapse folds them into
// W.
#pragma once

#include <string>

#include <lpw/autograd/rank_one.hpp>
#include <lpw/nn/forms/naming.hpp>
#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// The form of a weight [O, ..., C] with rank-1 factors.
template <class W, class D>
struct RankOne {
  static constexpr bool has_base = true;  // W is a parameter

  Parameter<W, D> output;  // r [1 or K, O]
  Parameter<W, D> input;   // s [1 or K, C]

  /// Factors of ones, which change nothing, for a weight of that shape.
  explicit RankOne(const Shape& weight)
      : output(full<W, D>({1, weight[0]}, W(1)), Group::rank_one),
        input(full<W, D>({1, weight[-1]}, W(1)), Group::rank_one) {}

  /// W and the factors on the tape of x.
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Parameter<W, D>& base, const Variable<T, D>& x) const {
    return {base.on(x), RankOneFactors<W, D>{output.on(x), input.on(x)}};
  }

  /// Calls f(name, parameter) for the factors of the weight called `weight`: "weight_ih_l0" has "rank_one_r_ih_l0".
  template <class F>
  void visit(const std::string& weight, F&& f) {
    output.visit(detail::name_beside(weight, "rank_one_r"), f);
    input.visit(detail::name_beside(weight, "rank_one_s"), f);
  }

  /// W o (r s^T) for single-row factors, in the place of W [1, O, ..., C].
  void fold(Parameter<W, D>& base) const {
    const auto r = to_host(output.value()), s = to_host(input.value());
    auto host = clone(to_host(base.value()));
    const std::int64_t outputs = host.dim(1), inputs = host.dim(host.shape().rank() - 1),
                       per_output = host.shape().size_from(2);
    for (std::int64_t o = 0; o < outputs; ++o)
      for (std::int64_t i = 0; i < per_output; ++i)
        host.data()[o * per_output + i] *= r.data()[o] * s.data()[i % inputs];
    copy(to_device<D>(host), base.value());
  }
};

}  // namespace lpw::inline LPW_ABI::nn
