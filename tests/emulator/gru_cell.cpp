#include "emulator/recurrent.hpp"

#include <lpw/kernels/gru_cell.cuh>

#include <lpw/cpu/gru.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of one step, as a window and a late-phase store hold them; and the launch.
template <class T>
struct GruCellLaunch : CellSizes {
  Shape gates_shape{members, rows, 3 * units};
  Tensor<float, Cpu> bias_ih = parameter(3 * units, 1), bias_hh = parameter(3 * units, 2);
  Tensor<float, Cpu> output_ih = factor(3 * units, 3), output_hh = factor(3 * units, 4), input_hh = factor(units, 5);
  Tensor<T, Cpu> gates = strided<T>(gates_shape, 6), inner = strided<T>(state(), 14),
                 product = random_tensor<T>(gates_shape, 7), hidden = strided<T>(state(), 8),
                 next = unwritten<T>(state().with(2, columns));
  Tensor<float, Cpu> carried_before = strided<float>(state(), 9), carried = strided<float>(state(), 10);
  // Backward's.
  Tensor<T, Cpu> dy = strided<T>(state(), 11), dnext = random_tensor<T>(state().with(2, columns), 12),
                 before = unwritten<T>(gates_shape);
  Tensor<float, Cpu> dcarried = random_tensor<float>(state(), 13);

  [[nodiscard]] kernels::GruCellParameters parameters() const {
    return {of_kernel(bias_ih), of_kernel(bias_hh), of_kernel(output_ih), of_kernel(output_hh), of_kernel(input_hh)};
  }
  [[nodiscard]] kernels::GruCellForward<T> forward() {
    return {.parameters = parameters(),
            .gates = {gates.data(), gates.row_stride()},
            .product = product.data(),
            .inner = {inner.data(), inner.row_stride()},
            .carried_before = {carried_before.data(), carried_before.row_stride()},
            .carried = {carried.data(), carried.row_stride()},
            .hidden = {hidden.data(), hidden.row_stride()},
            .next = next.data(),
            .members = int(members),
            .rows = int(rows),
            .units = int(units),
            .columns = int(columns)};
  }
  [[nodiscard]] kernels::GruCellBackward<T> backward() {
    return {.parameters = parameters(),
            .gates = {gates.data(), gates.row_stride()},
            .inner = {inner.data(), inner.row_stride()},
            .carried_before = {carried_before.data(), carried_before.row_stride()},
            .dy = {dy.data(), dy.row_stride()},
            .product = dnext.data(),
            .dcarried = dcarried.data(),
            .before = before.data(),
            .members = int(members),
            .rows = int(rows),
            .units = int(units),
            .columns = int(columns)};
  }

  /// What the CPU computes in double from the same numbers.
  [[nodiscard]] GruCell<double, Cpu> expected_cell() const {
    return {exactly(bias_ih), exactly(bias_hh), exactly(output_ih), exactly(output_hh), exactly(input_hh)};
  }
  [[nodiscard]] GruStep<double, Cpu> expected_step() const {
    return {converted<double>(gates), converted<double>(inner), converted<double>(carried_before),
            converted<double>(carried)};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("the kernel gru_cell_forward gives the CPU's step", "[gru_cell]", float, bfloat16, half) {
  for_each_step<GruCellLaunch<TestType>>([](GruCellLaunch<TestType>& s, auto width) {
    auto step = s.expected_step();
    Tensor<double, Cpu> hidden(s.state()), next(s.state());
    gru_cell_forward(s.expected_cell(), converted<double>(s.product), step, hidden, next);
    const auto p = s.forward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::gru_cell_forward<TestType, width()>(p); },
        s.gates, s.inner, s.carried, s.hidden, s.next));
    CHECK(distance(s.gates, step.gates) <= cell_tolerance<TestType>);
    CHECK(distance(s.inner, step.inner) <= cell_tolerance<TestType>);
    CHECK(distance(s.carried, step.carried) <= cell_tolerance<float>);
    CHECK(distance(s.hidden, hidden) <= cell_tolerance<TestType>);
    CHECK(distance(s.next, s.in_columns(next)) <= cell_tolerance<TestType>);
    CHECK(
        (gaps_untouched(s.gates) && gaps_untouched(s.inner) && gaps_untouched(s.carried) && gaps_untouched(s.hidden)));
  });
}

TEMPLATE_TEST_CASE("the kernel gru_cell_backward gives the CPU's step", "[gru_cell]", float, bfloat16, half) {
  for_each_step<GruCellLaunch<TestType>>([](GruCellLaunch<TestType>& s, auto width) {
    auto step = s.expected_step();
    auto dcarried = converted<double>(s.dcarried);
    Tensor<double, Cpu> before(s.gates_shape);
    gru_cell_backward(s.expected_cell(), converted<double>(s.dy), s.in_units(s.dnext), step, dcarried, before);
    const auto p = s.backward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::gru_cell_backward<TestType, width()>(p); },
        s.gates, s.inner, s.dcarried, s.before));
    CHECK(distance(s.gates, step.gates) <= cell_tolerance<TestType>);
    CHECK(distance(s.dcarried, dcarried) <= cell_tolerance<float>);
    CHECK(distance(s.inner, step.inner) <= cell_tolerance<TestType>);
    CHECK(distance(s.before, before) <= cell_tolerance<TestType>);
    CHECK((gaps_untouched(s.gates) && gaps_untouched(s.inner)));
  });
}
