// Batch norm with optional residual add and ReLU as one operation. Each member is normalised over its own minibatch.
//
// Two forms of one operation: batch_norm() leaves the normalisation pending on the raw input where the device's
// convolutions can apply it while they read, which is on the CPU; batch_norm_add() has a residual and stores its
// result. Both save the raw input and [K, C] tensors, nothing else but a residual that ReLU follows.
#pragma once

#include <lpw/autograd/cut_batch_norm.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// See batch_norm.
struct BatchNormOptions {
  double epsilon = 1e-5;  // added to the variance
  double momentum = 0.1;  // running <- (1 - momentum) running + momentum batch; ignored in Mode::statistics
  bool relu = false;      // whether negative results become 0
};

namespace detail {

inline void check_batch_norm_options(const char* operation, const BatchNormOptions& options) {
  require_epsilon(operation, options.epsilon);
  require<OptionError>(is_finite(options.momentum) && options.momentum >= 0 && options.momentum <= 1, operation,
                       ": momentum ", options.momentum, " is outside [0, 1]");
}

template <class T, class D, class W = Accumulate<T>>
void check_batch_norm(const Variable<T, D>& x, const Variable<W, D>& gamma, const Variable<W, D>& beta,
                      const RunningStatistics<W, D>& running, const BatchNormOptions& options) {
  check_batch_norm_options("batch_norm", options);
  const Shape& in = x.shape();
  require_axes("batch_norm", "[K B ... C]", in.rank() >= 3, in);
  require_elements("batch_norm", in);
  const TapeOptions& tape = x.recording()->options;
  const std::int64_t here = in.size() / (in[0] * in[-1]), values = tape.cut ? tape.part.of_whole(here) : here;
  require<ShapeError>(
      x.mode() != Mode::training || values > 1, "batch_norm: x ", in,
      " has one value per member and channel, whose variance is 0; expected more to train on: a larger minibatch");
  const Shape row{in[-1]};
  for (const auto* parameter : {&gamma, &beta}) {
    require<ShapeError>(parameter->shape().rank() == 2 && parameter->shape()[1] == in[-1], "batch_norm: x has ", in[-1],
                        " channels ", in, ", gamma and beta are ", describe(gamma.shape(), "KC"), " and ",
                        describe(beta.shape(), "KC"));
    require_member_rows("batch_norm", "gamma or beta", parameter->shape()[0], in[0]);
  }
  if (running.mean.shape().rank() > 0) require_member_rows("batch_norm", "running mean", running.mean.dim(0), in[0]);
  require<ShapeError>(running.mean.shape() == row.prepend(in[0]) && running.variance.shape() == running.mean.shape(),
                      "batch_norm: running statistics are ", running.mean.shape(), ", x has K=", in[0], " members and ",
                      in[-1], " channels");
}

[[nodiscard]] inline BatchNormPass batch_norm_pass(const TapeOptions& pass, const BatchNormOptions& options) {
  const bool pooled = pass.mode == Mode::statistics;
  return {options.epsilon, pooled ? pass.share : options.momentum, options.relu, pass.mode != Mode::evaluation, pooled};
}

/// The forward of both forms.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] BatchNormResult<T, D> batch_norm_value(const Variable<T, D>& x, const Tensor<T, D>& residual,
                                                     const Variable<W, D>& gamma, const Variable<W, D>& beta,
                                                     const RunningStatistics<W, D>& running,
                                                     const BatchNormOptions& options) {
  const TapeOptions& tape = x.recording()->options;
  BatchNormPass pass = batch_norm_pass(tape, options);
  if (tape.cut && pass.batch_statistics) {
    pass.rows = tape.part.of_whole(MemberRows::of(x.shape()).rows);
    return cut_batch_norm_forward(*tape.cut, x.value(), residual, gamma.rows(), beta.rows(), running, pass,
                                  x.moments());
  }
  return batch_norm_forward(x.value(), residual, gamma.rows(), beta.rows(), running, pass, x.moments());
}

/// The backward step of both forms; `dr` is the residual's edge, or none.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] auto batch_norm_step(const BatchNormSaved<T, D>& saved, const Variable<T, D>& x,
                                   const Variable<W, D>& gamma, const Variable<W, D>& beta, Edge<T, D> dr) {
  return [saved, dr, cut = saved.batch_statistics ? x.recording()->options.cut : nullptr, gamma_shape = gamma.shape(),
          beta_shape = beta.shape(), dx = x.edge(), dg = gamma.row_edge(),
          db = beta.row_edge()](Tensor<T, D> dy, const Tensor<double, D>& sums) {
    const bool masked = dr.needed() && saved.relu;  // without ReLU the residual's gradient is dy itself
    std::optional<Gradient<W, D>> gamma_target, beta_target;
    std::optional<Gradient<T, D>> x_target, residual_target;
    if (dg.needed()) gamma_target = dg.sink(gamma_shape);
    if (db.needed()) beta_target = db.sink(beta_shape);
    if (masked)
      residual_target = Gradient<T, D>{Tensor<T, D>(dy.shape()), false};  // not dr's sink: the residual may be x itself
    if (dx.needed()) x_target = dx.sink(dy.shape());
    const auto pointer = [](auto& target) { return target ? &*target : nullptr; };
    const auto backward = [&](auto*... targets) {
      if (cut) return cut_batch_norm_backward<T, D>(*cut, saved, dy, targets..., sums);
      batch_norm_backward(saved, dy, targets..., sums);
    };
    backward(pointer(gamma_target), pointer(beta_target), pointer(x_target), pointer(residual_target));
    x_target.reset();
    if (dr.needed()) dr.add(masked ? std::move(residual_target->tensor) : std::move(dy));
  };
}

/// What a trace says of either form; running statistics are inputs, which only evaluation reads.
template <class T, class D, class F, class... Inputs>
[[nodiscard]] Variable<T, D> record_batch_norm(const char* name, const BatchNormOptions& options, Activation<T, D> y,
                                               F step, const Variable<T, D>& x, const Inputs&... inputs) {
  return record({name, {{"epsilon", options.epsilon}, {"momentum", options.momentum}, {"relu", options.relu}}},
                std::move(y), std::move(step), x, inputs...);
}

}  // namespace detail

/// relu?(gamma (x - mean) / sqrt(variance + epsilon) + beta) for x [K, ..., C] with gamma, beta [1 or K, C]: statistics
/// of each member's own minibatch in training, which update `running` in place; `running` itself in evaluation. The CPU
/// leaves the result pending on x. Throws ShapeError for shapes that do not fit, and in training for one value per
/// member and channel, which would all become beta; OptionError for an epsilon below 0 or a momentum outside [0, 1].
///
/// Rounding in float: the mean is kept in float and subtracted before scaling, which moves results by at most |mean|
/// scale 2^-24, scale = |gamma| / sqrt(variance + epsilon), as the rounding of x itself does; all else errs by some
/// 2^-24 of y and of scale times x's deviation. A constant channel gives exactly beta, whatever its value.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> batch_norm(const Variable<T, D>& x, const Variable<W, D>& gamma,
                                        const Variable<W, D>& beta, const RunningStatistics<W, D>& running,
                                        const BatchNormOptions& options = {}) {
  detail::check_batch_norm(x, gamma, beta, running, options);
  auto forward = detail::batch_norm_value(x, Tensor<T, D>(), gamma, beta, running, options);
  auto step = detail::batch_norm_step(forward.saved, x, gamma, beta, {});
  return detail::record_batch_norm<T, D>("batch_norm", options, std::move(forward.y), std::move(step), x, gamma, beta,
                                         running.mean, running.variance);
}

/// relu?(batch_norm(x) + residual), stored.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> batch_norm_add(const Variable<T, D>& x, const Variable<T, D>& residual,
                                            const Variable<W, D>& gamma, const Variable<W, D>& beta,
                                            const RunningStatistics<W, D>& running,
                                            const BatchNormOptions& options = {}) {
  detail::check_batch_norm(x, gamma, beta, running, options);
  require<ShapeError>(residual.shape() == x.shape(), "batch_norm_add: x ", x.shape(), ", residual ", residual.shape());
  auto forward = detail::batch_norm_value(x, residual.value(), gamma, beta, running, options);
  auto step = detail::batch_norm_step(forward.saved, x, gamma, beta, residual.edge());
  return detail::record_batch_norm<T, D>("batch_norm_add", options, std::move(forward.y), std::move(step), x, residual,
                                         gamma, beta, running.mean, running.variance);
}

}  // namespace lpw::inline LPW_ABI
