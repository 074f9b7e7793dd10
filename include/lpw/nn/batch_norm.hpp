// Batch norm module.
#pragma once

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// relu?(gamma (x - mean) / sqrt(variance + epsilon) + beta) over the channels of x [K, B, ..., C], each member
/// normalised over its own minibatch. In evaluation it uses running statistics and throws Error if they belong to other
/// weights (see mark_statistics_stale).
template <class T, class D>
struct BatchNorm {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// gamma 1, beta 0. Throws OptionError for an epsilon below 0 or a momentum outside [0, 1].
  explicit BatchNorm(std::int64_t channels, BatchNormOptions o = {})
      : options(o),
        weight(full<W, D>({1, channels}, W(1)), Group::batch_norm),
        bias(zeros<W, D>({1, channels}), Group::batch_norm),
        running_mean(zeros<W, D>({1, channels})),
        running_var(full<W, D>({1, channels}, W(1))) {
    lpw::detail::check_batch_norm_options("BatchNorm", options);
  }

  /// [K, B, ..., C] -> the same shape; the result is left pending on x. Throws ShapeError for other channels, and in
  /// training for one value per channel.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    return batch_norm(x, weight.on(x), bias.on(x), statistics(x), options);
  }

  /// relu?(batch norm of x, plus residual).
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x, const Variable<T, D>& residual) {
    return batch_norm_add(x, residual, weight.on(x), bias.on(x), statistics(x), options);
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    f("bias", bias);
    f("running_mean", running_mean);
    f("running_var", running_var);
  }

  BatchNormOptions options;                // epsilon, momentum and whether ReLU follows
  Parameter<W, D> weight, bias;            // gamma and beta, [C] each
  Buffer<W, D> running_mean, running_var;  // [C], of each member where they are released

 private:
  [[nodiscard]] RunningStatistics<W, D> statistics(const Variable<T, D>& x) const {
    require(x.mode() != Mode::evaluation || !running_mean.stale(),
            "batch norm: the weights were averaged after these running statistics were gathered; call "
            "recompute_statistics(network, batches) before evaluating");
    return {running_mean.on(x), running_var.on(x)};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
