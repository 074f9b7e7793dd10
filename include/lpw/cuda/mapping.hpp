// primitives/mapping.hpp on the GPU. Vectors are of 16 bytes where all tensors go on by elements along the walk's rows.
// Sums are float: of up to 32 terms in a thread, then in trees.
#pragma once

#include <type_traits>

#include <lpw/cuda/base/rows.hpp>
#include <lpw/cuda/plans/mapping.hpp>
#include <lpw/kernels/mapping.cuh>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

template <Function f, class T, class B>
[[nodiscard]] kernels::FunctionOperands<T, B> function_operands(const FunctionInputs<T, B, Cuda>& inputs,
                                                                const Walk& walk) {
  return {inputs.x.data(),
          inputs.y.data(),
          inputs.b.data(),
          f,
          static_cast<float>(inputs.scale),
          static_cast<float>(inputs.shift),
          walk.row_stride(2) == 0};
}

template <Function f, class T, class B, class Out>
[[nodiscard]] int mapping_width(const Walk& walk, const FunctionInputs<T, B, Cuda>& inputs, const Out* out) {
  constexpr int widest = kernels::widest<T>;
  const bool fits = walk.row() % widest == 0 && lpw::detail::in_vectors(walk, Walk::result, out, widest, false) &&
                    (!reads_x(f) || lpw::detail::in_vectors(walk, 0, inputs.x.data(), widest, false)) &&
                    (!reads_y(f) || lpw::detail::in_vectors(walk, 1, inputs.y.data(), widest, false)) &&
                    (!reads_b(f) || lpw::detail::in_vectors(walk, 2, inputs.b.data(), widest, true));
  return fits ? widest : 1;
}

template <class T, class B, class Out>
void launch_sum(const kernels::FunctionOperands<T, B>& in, const Walk& walk, const SumPlan& plan, Out* out,
                float* partial, bool accumulate) {
  const kernels::SumFunction<T, B, Out> p{.in = in,
                                          .out = out,
                                          .partial = partial,
                                          .accumulate = accumulate,
                                          .kept = part_of(walk, false),
                                          .terms = part_of(walk, true),
                                          .along = plan.along,
                                          .lanes = plan.lanes,
                                          .columns = plan.columns,
                                          .results = plan.results,
                                          .length = plan.length,
                                          .parts = static_cast<int>(plan.parts)};
  launch(kernels::sum_function<T, B, Out>, plan.launch(), p);
}

/// A launch, and for long sums another that adds up the parts.
template <class T, class B, class Out>
void sum(const kernels::FunctionOperands<T, B>& in, const Walk& walk, Out* out, bool accumulate) {
  const SumPlan plan(walk);
  require_countable("sum_function", "results", plan.results);
  require_countable("sum_function", "terms of a sum", plan.terms);
  if (plan.parts == 1) return launch_sum(in, walk, plan, out, nullptr, accumulate);
  Tensor<float, Cuda> partial({plan.parts, plan.results});
  launch_sum(in, walk, plan, out, partial.data(), accumulate);
  const kernels::FunctionOperands<float, float> sums{partial.data(), nullptr, nullptr, Function::identity, 1, 0, false};
  sum(sums, lpw::detail::over_parts(part_of(walk, false), plan.parts), out, accumulate);
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 vectors.
template <Function f, class T, class B, class Out>
void apply_function(const Shape& shape, const FunctionInputs<T, B, Cuda>& inputs, StridedTarget<Out, Cuda> target) {
  static_assert(std::is_same_v<T, Out>);
  if (shape.size() == 0) return;
  const Walk walk = walk_over(shape, inputs, target);
  Out* const out = target.to.data();
  const int width = cuda::detail::mapping_width<f>(walk, inputs, out);
  cuda::with_width<T>(width, [&](auto n) {
    const kernels::ApplyFunction<T, B, Out> p{cuda::detail::function_operands<f>(inputs, walk), out, target.accumulate,
                                              detail::over_vectors(walk, width)};
    cuda::require_countable("apply_function", "elements", p.walk.size());
    cuda::launch(kernels::apply_function<T, B, Out, n()>, cuda::element_plan(p.walk.size(), 1, kernels::row_blocks), p);
  });
}

/// Throws ShapeError past 2^30 results or terms of a sum.
template <Function f, class T, class B, class Out>
void sum_function(const Shape& shape, const FunctionInputs<T, B, Cuda>& inputs, StridedTarget<Out, Cuda> target) {
  if (shape.size() == 0) return;
  const Walk walk = walk_over(shape, inputs, target);
  cuda::detail::sum(cuda::detail::function_operands<f>(inputs, walk), walk, target.to.data(), target.accumulate);
}

}  // namespace lpw::inline LPW_ABI
