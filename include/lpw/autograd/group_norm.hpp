// Layer norm and group norm as operations: what normalises a sample by itself. Both save their input and two numbers
// for each group of each sample.
#pragma once

#include <optional>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/group_norm.hpp>

namespace lpw::inline LPW_ABI {

/// See layer_norm and group_norm.
struct GroupNormOptions {
  double epsilon = 1e-5;  // added to the variance
};

namespace detail {

template <class W, class D>
void check_norm_parameters(const char* operation, const Shape& x, const Variable<W, D>& gamma,
                           const Variable<W, D>& beta, const GroupNormOptions& options) {
  require_epsilon(operation, options.epsilon);
  require_elements(operation, x);
  for (const auto* parameter : {&gamma, &beta}) {
    require<ShapeError>(parameter->shape().rank() == 2 && parameter->shape()[1] == x[-1], operation, ": x has ", x[-1],
                        " channels ", x, ", gamma and beta are ", describe(gamma.shape(), "KC"), " and ",
                        describe(beta.shape(), "KC"));
    require_member_rows(operation, "gamma or beta", parameter->shape()[0], x[0]);
  }
}

/// Either norm of x, which the primitive sees in the shape `seen`.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> normalized_samples(const Operation& operation, const Variable<T, D>& x, const Shape& seen,
                                                const Variable<W, D>& gamma, const Variable<W, D>& beta,
                                                std::int64_t groups, double epsilon) {
  auto forward = group_norm_forward(x.value().reshaped(seen), gamma.rows(), beta.rows(), groups, epsilon);
  return record(
      operation, forward.y.reshaped(x.shape()),
      [saved = std::move(forward.saved), scale = gamma.rows(), rows = beta.shape(), in = x.shape(), seen, dx = x.edge(),
       dg = gamma.row_edge(), db = beta.row_edge()](Tensor<T, D> dy) {
        std::optional<Gradient<W, D>> gamma_target, beta_target;
        std::optional<Gradient<T, D>> x_target;
        if (dg.needed()) gamma_target = dg.sink(scale.shape());
        if (db.needed()) beta_target = db.sink(rows);
        if (dx.needed()) {
          x_target = dx.sink(in);
          x_target->tensor = x_target->tensor.reshaped(seen);
        }
        const auto pointer = [](auto& target) { return target ? &*target : nullptr; };
        group_norm_backward(saved, scale, dy.reshaped(seen), pointer(gamma_target), pointer(beta_target),
                            pointer(x_target));
      },
      x, gamma, beta);
}

}  // namespace detail

/// gamma (x - mean) / sqrt(variance + epsilon) + beta for x [K, ..., C] with gamma, beta [1 or K, C]: mean and biased
/// variance are those of each row of C, as PyTorch's over its last axis. The rounding is batch_norm's: a large mean
/// costs its own rounding to float and no more. Throws ShapeError, or OptionError for an epsilon below 0.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> layer_norm(const Variable<T, D>& x, const Variable<W, D>& gamma,
                                        const Variable<W, D>& beta, const GroupNormOptions& options = {}) {
  const Shape& in = x.shape();
  detail::require_axes("layer_norm", "[K ... C]", in.rank() >= 2, in);
  detail::check_norm_parameters("layer_norm", in, gamma, beta, options);
  return detail::normalized_samples({"layer_norm", {{"epsilon", options.epsilon}}}, x,
                                    {in[0], in.size() / (in[0] * in[-1]), in[-1]}, gamma, beta, 1, options.epsilon);
}

/// The same for x [K, B, ..., C], channels last, with the moments of each sample's `groups` groups of C / groups
/// neighbouring channels, over all places between. Throws ShapeError, or OptionError unless groups divide the channels,
/// and for an epsilon below 0.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> group_norm(const Variable<T, D>& x, std::int64_t groups, const Variable<W, D>& gamma,
                                        const Variable<W, D>& beta, const GroupNormOptions& options = {}) {
  const Shape& in = x.shape();
  detail::require_axes("group_norm", "[K B ... C]", in.rank() >= 3, in);
  detail::check_norm_parameters("group_norm", in, gamma, beta, options);
  require<OptionError>(groups > 0 && in[-1] % groups == 0, "group_norm: ", groups, " groups of ", in[-1],
                       " channels; expected a number that divides them");
  return detail::normalized_samples({"group_norm", {{"groups", groups}, {"epsilon", options.epsilon}}}, x, in, gamma,
                                    beta, groups, options.epsilon);
}

}  // namespace lpw::inline LPW_ABI
