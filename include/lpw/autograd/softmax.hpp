// Softmax over the last axis, as attention takes it.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/mapping.hpp>
#include <lpw/primitives/softmax.hpp>
#include <lpw/primitives/softmax_loss.hpp>

namespace lpw::inline LPW_ABI {

/// How softmax masks. An additive mask is added before, as in add(x, mask, {.over = {2}}), with -infinity for what is
/// not read.
struct SoftmaxOptions {
  bool causal = false;  // x is [..., M, N], and row i reads columns 0 to i
};

/// exp(x) / sum exp(x) over the last axis of x [K, ..., N]; zero where masked. A row of -infinity alone becomes NaN.
/// Saves its result. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<T, D> softmax(const Variable<T, D>& x, const SoftmaxOptions& options = {}) {
  const Shape& in = x.shape();
  detail::require_axes("softmax", options.causal ? "[K ... M N]" : "[K ... N]", in.rank() >= (options.causal ? 3 : 2),
                       in);
  detail::require_elements("softmax", in);
  auto y = softmax_forward(x.value(), options.causal);
  return record(
      {"softmax", {{"causal", std::int64_t{options.causal}}}}, y,
      [y, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(y.shape());
        softmax_backward(y, dy, target);
      },
      x);
}

/// log softmax(x) over the last axis of x [K, ..., N], as (x - largest) - log sum exp(x - largest): finite where a
/// softmax underflows to 0, whose logarithm is not. Saves x. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<T, D> log_softmax(const Variable<T, D>& x) {
  using W = Accumulate<T>;
  const Shape& in = x.shape();
  detail::require_axes("log_softmax", "[K ... N]", in.rank() >= 2, in);
  detail::require_elements("log_softmax", in);
  const std::int64_t count = in.size() / in[-1];
  const Shape rows{1, count, in[-1]};
  const Strides each{0, 1, 0};  // of a number for each row
  const Tensor<T, D> value = x.value();
  // Of any labels' losses, what all of them are formed with: of each row the largest, 1 / sum and another number.
  const auto statistics =
      softmax_loss_forward(value.reshaped(rows), SoftmaxTargets<T, D>{.labels = zeros<std::int32_t, D>({1, count})})
          .statistics;
  Tensor<W, D> log_inverse({1, count});
  apply_function<Function::log>({1, count}, FunctionInputs<W, W, D>{.x = {statistics, {0, 3}, 1}},
                                StridedTarget<W, D>{Strided<W, D>::of(log_inverse)});
  Tensor<T, D> shifted(rows), y(rows);
  apply_function<Function::subtract>(
      rows, FunctionInputs<T, W, D>{.x = Strided<T, D>::of(value.reshaped(rows)), .b = {statistics, {0, 3, 0}}},
      StridedTarget<T, D>{Strided<T, D>::of(shifted)});
  apply_function<Function::add>(rows,
                                FunctionInputs<T, W, D>{.x = Strided<T, D>::of(shifted), .b = {log_inverse, each}},
                                StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      "log_softmax", y.reshaped(in),
      [value, rows, each, dx = x.edge()](Tensor<T, D> dy) {  // dy - softmax(x) sum(dy)
        const auto along = Strided<T, D>::of(dy.reshaped(rows));
        Tensor<W, D> sums({1, rows[1]});
        Tensor<T, D> shares(rows);
        sum_function<Function::affine>(rows, FunctionInputs<T, T, D>{.x = along}, StridedTarget<W, D>{{sums, each}});
        apply_function<Function::multiply>(
            rows,
            FunctionInputs<T, W, D>{.x = Strided<T, D>::of(softmax_forward(value, false).reshaped(rows)),
                                    .b = {sums, each}},
            StridedTarget<T, D>{Strided<T, D>::of(shares)});
        const auto [target, accumulate] = dx.sink(value.shape());
        apply_function<Function::subtract>(rows, FunctionInputs<T, T, D>{.x = along, .b = Strided<T, D>::of(shares)},
                                           StridedTarget<T, D>{Strided<T, D>::of(target.reshaped(rows)), accumulate});
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
