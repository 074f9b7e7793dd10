// primitives/gru.hpp on the GPU: one launch for everything but the products of a step.
#pragma once

#include <cassert>
#include <type_traits>

#include <lpw/cuda/lstm.hpp>
#include <lpw/kernels/gru_cell.cuh>
#include <lpw/primitives/gru.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
[[nodiscard]] Tensor<float, Cuda> carried_state(const Tensor<T, Cuda>& hidden) {
  if constexpr (std::is_same_v<T, float>) {
    return hidden;
  } else {
    Tensor<float, Cuda> result(hidden.shape());
    cuda::convert(hidden, result);
    return result;
  }
}

template <class T>
void carried_state_backward(const Tensor<float, Cuda>& dcarried, Gradient<T, Cuda>& dhidden) {
  if constexpr (!std::is_same_v<T, float>) {
    cuda::convert(dcarried, dhidden.tensor, dhidden.accumulate);
  } else if (dhidden.accumulate) {
    add_in_place(dhidden.tensor, dcarried);
  } else {
    copy(dcarried, dhidden.tensor);
  }
}

namespace cuda::detail {

[[nodiscard]] inline kernels::GruCellParameters cell_parameters(const GruCell<float, Cuda>& cell,
                                                                std::int64_t members) {
  const auto of = [&](const Tensor<float, Cuda>& tensor) {
    return kernels::MemberParameter{tensor.data(), member_stride(tensor, members)};
  };
  return {of(cell.bias_ih), of(cell.bias_hh), of(cell.output_ih), of(cell.output_hh), of(cell.input_hh)};
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 members or units of a member.
template <class T>
void gru_cell_forward(const GruCell<float, Cuda>& parameters, const Tensor<T, Cuda>& product, GruStep<T, Cuda>& step,
                      Tensor<T, Cuda>& hidden, Tensor<T, Cuda>& next) {
  using namespace cuda::detail;
  assert(product.contiguous() && next.contiguous());
  const CellSize size("gru", hidden.shape());
  const kernels::GruCellForward<T> p{.parameters = cell_parameters(parameters, size.members),
                                     .gates = step_rows<T>(step.gates),
                                     .product = product.data(),
                                     .inner = step_rows<T>(step.inner),
                                     .carried_before = step_rows<const float>(step.carried_before),
                                     .carried = step_rows<float>(step.carried),
                                     .hidden = step_rows<T>(hidden),
                                     .next = next.data(),
                                     .members = size.members,
                                     .rows = size.rows,
                                     .units = size.units,
                                     .columns = static_cast<int>(next.dim(2))};
  with_cell_plan(
      size, p.columns,
      [&](auto width, const LaunchPlan& plan) { cuda::launch(kernels::gru_cell_forward<T, width()>, plan, p); },
      p.gates, p.inner, step_rows<const T>(product), p.carried_before, p.carried, p.hidden, step_rows<T>(next));
}

/// Throws as above.
template <class T>
void gru_cell_backward(const GruCell<float, Cuda>& parameters, const Tensor<T, Cuda>& dy,
                       const Tensor<T, Cuda>& product, GruStep<T, Cuda>& step, Tensor<float, Cuda>& dcarried,
                       Tensor<T, Cuda>& before) {
  using namespace cuda::detail;
  assert(product.contiguous() && dcarried.contiguous() && before.contiguous());
  const CellSize size("gru", dcarried.shape());
  const kernels::GruCellBackward<T> p{.parameters = cell_parameters(parameters, size.members),
                                      .gates = step_rows<T>(step.gates),
                                      .inner = step_rows<T>(step.inner),
                                      .carried_before = step_rows<const float>(step.carried_before),
                                      .dy = step_rows<const T>(dy),
                                      .product = product.data(),
                                      .dcarried = dcarried.data(),
                                      .before = before.data(),
                                      .members = size.members,
                                      .rows = size.rows,
                                      .units = size.units,
                                      .columns = static_cast<int>(product.dim(2))};
  with_cell_plan(
      size, p.columns,
      [&](auto width, const LaunchPlan& plan) { cuda::launch(kernels::gru_cell_backward<T, width()>, plan, p); },
      p.gates, p.inner, p.carried_before, p.dy, step_rows<const T>(product), step_rows<float>(dcarried),
      step_rows<T>(before));
}

}  // namespace lpw::inline LPW_ABI
