// primitives/lstm.hpp on the GPU: cuBLAS for the product with the recurrent matrix, over the rows of all members, and
// one launch for everything else of a step. A window is hundreds of small launches: it is meant to be replayed as a
// graph, so nothing here waits or remembers.
#pragma once

#include <cassert>
#include <cstdint>

#include <lpw/cuda/linear.hpp>
#include <lpw/kernels/lstm_cell.cuh>
#include <lpw/primitives/lstm.hpp>

namespace lpw::inline LPW_ABI {

/// Rounded to T, once for all steps of a window. Where that makes a copy, its rows are filled up with zeros to a
/// multiple of 16 bytes: cuBLAS has its fast kernels for operands whose rows all begin there.
template <class T>
[[nodiscard]] Tensor<T, Cuda> recurrent_weight(const Tensor<float, Cuda>& weight, std::int64_t /*steps*/) {
  return cuda::weights_as<T>(weight, cuda::whole_vectors<T>(weight.dim(2)));
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> recurrent_state(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& weight) {
  const std::int64_t rows = x.dim(0) * x.dim(1), columns = x.dim(2);
  if (weight.dim(2) == columns) return x;
  auto result = zeros<T, Cuda>({x.dim(0), x.dim(1), weight.dim(2)});
  auto target = result.reshaped({rows, weight.dim(2)}).columns(0, {columns});
  copy(packed(x).reshaped({rows, columns}), target);
  return result;
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> recurrent_forward(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& weight) {
  return cuda::detail::linear_product(x, weight);
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> recurrent_backward_data(const Tensor<T, Cuda>& dy, const Tensor<T, Cuda>& weight) {
  Gradient<T, Cuda> dx{Tensor<T, Cuda>({dy.dim(0), dy.dim(1), weight.dim(2)})};
  cuda::detail::linear_product_backward(dy, weight, dx);
  return dx.tensor;
}

namespace cuda::detail {

/// [K, B, H] of a step, in the numbers that kernels count in. Throws ShapeError past 2^30 of any.
struct CellSize {
  int members, rows, units;

  CellSize(const char* layer, const Shape& state)
      : members(static_cast<int>(state[0])), rows(static_cast<int>(state[1])), units(static_cast<int>(state[2])) {
    require_countable(layer, "members", state[0]);
    require_countable(layer, "units of a member's step", state.size_from(1));
  }
};

[[nodiscard]] inline kernels::LstmCellParameters cell_parameters(const LstmCell<float, Cuda>& cell,
                                                                 std::int64_t members) {
  const auto of = [&](const Tensor<float, Cuda>& tensor) {
    return kernels::MemberParameter{tensor.data(), member_stride(tensor, members)};
  };
  return {of(cell.bias), of(cell.output_ih), of(cell.output_hh), of(cell.input_hh)};
}

/// A step's rows [K, B, C], whose members may lie apart.
template <class V, class Rows>
[[nodiscard]] kernels::StepRows<V> step_rows(Rows& tensor) {
  return {tensor.data(), tensor.row_stride()};
}

/// body(width, LaunchPlan) for a step: a width of 4 units, which are 16 bytes of float, where all arrays and their
/// members, and rows of `columns` elements, begin at multiples of 4 elements; else 1.
template <class Body, class... V>
void with_cell_plan(const CellSize& size, int columns, const Body& body, const kernels::StepRows<V>&... arrays) {
  const auto aligned = [](const auto& array) {
    return reinterpret_cast<std::uintptr_t>(array.data) % (4 * sizeof(*array.data)) == 0 &&
           array.member_stride % 4 == 0;
  };
  const int width = size.units % 4 == 0 && columns % 4 == 0 && (aligned(arrays) && ...) ? 4 : 1;
  const auto plan = element_plan(std::int64_t{size.rows} * size.units / width, size.members, kernels::cell_blocks);
  with_width<float>(width, [&](auto n) { body(n, plan); });
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 members or units of a member.
template <class T>
void lstm_cell_forward(const LstmCell<float, Cuda>& parameters, const Tensor<T, Cuda>& product, LstmStep<T, Cuda>& step,
                       Tensor<T, Cuda>& hidden, Tensor<T, Cuda>& next) {
  using namespace cuda::detail;
  assert(product.contiguous() && next.contiguous());
  const CellSize size("lstm", hidden.shape());
  const kernels::LstmCellForward<T> p{.parameters = cell_parameters(parameters, size.members),
                                      .gates = step_rows<T>(step.gates),
                                      .product = product.data(),
                                      .cell_before = step_rows<const float>(step.cell_before),
                                      .cell = step_rows<float>(step.cell),
                                      .hidden = step_rows<T>(hidden),
                                      .next = next.data(),
                                      .members = size.members,
                                      .rows = size.rows,
                                      .units = size.units,
                                      .columns = static_cast<int>(next.dim(2))};
  with_cell_plan(
      size, p.columns,
      [&](auto width, const LaunchPlan& plan) { cuda::launch(kernels::lstm_cell_forward<T, width()>, plan, p); },
      p.gates, step_rows<const T>(product), p.cell_before, p.cell, p.hidden, step_rows<T>(next));
}

/// Throws as above.
template <class T>
void lstm_cell_backward(const LstmCell<float, Cuda>& parameters, const Tensor<T, Cuda>& dy,
                        const Tensor<T, Cuda>& product, LstmStep<T, Cuda>& step, Tensor<float, Cuda>& dcell,
                        Tensor<T, Cuda>& before) {
  using namespace cuda::detail;
  assert(product.contiguous() && dcell.contiguous() && before.contiguous());
  const CellSize size("lstm", dcell.shape());
  const kernels::LstmCellBackward<T> p{.parameters = cell_parameters(parameters, size.members),
                                       .gates = step_rows<T>(step.gates),
                                       .cell_before = step_rows<const float>(step.cell_before),
                                       .cell = step_rows<const float>(step.cell),
                                       .dy = step_rows<const T>(dy),
                                       .product = product.data(),
                                       .dcell = dcell.data(),
                                       .before = before.data(),
                                       .members = size.members,
                                       .rows = size.rows,
                                       .units = size.units,
                                       .columns = static_cast<int>(product.dim(2))};
  with_cell_plan(
      size, p.columns,
      [&](auto width, const LaunchPlan& plan) { cuda::launch(kernels::lstm_cell_backward<T, width()>, plan, p); },
      p.gates, p.cell_before, p.cell, p.dy, step_rows<const T>(product), step_rows<float>(dcell), step_rows<T>(before));
}

}  // namespace lpw::inline LPW_ABI
