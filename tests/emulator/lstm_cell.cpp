#include "emulator/recurrent.hpp"

#include <lpw/kernels/lstm_cell.cuh>

#include <lpw/cpu/lstm.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of one step, as a window and a late-phase store hold them; and the launch.
template <class T>
struct LstmCellLaunch : CellSizes {
  Shape gates_shape{members, rows, 4 * units};
  Tensor<float, Cpu> bias = parameter(4 * units, 1);
  Tensor<float, Cpu> output_ih = factor(4 * units, 3), output_hh = factor(4 * units, 4), input_hh = factor(units, 5);
  Tensor<T, Cpu> gates = strided<T>(gates_shape, 6), product = random_tensor<T>(gates_shape, 7),
                 hidden = strided<T>(state(), 8), next = unwritten<T>(state().with(2, columns));
  Tensor<float, Cpu> cell_before = strided<float>(state(), 9), cell = strided<float>(state(), 10);
  // Backward's.
  Tensor<T, Cpu> dy = strided<T>(state(), 11), dnext = random_tensor<T>(state().with(2, columns), 12),
                 before = unwritten<T>(gates_shape);
  Tensor<float, Cpu> dcell = random_tensor<float>(state(), 13);

  [[nodiscard]] kernels::LstmCellParameters parameters() const {
    return {of_kernel(bias), of_kernel(output_ih), of_kernel(output_hh), of_kernel(input_hh)};
  }
  [[nodiscard]] kernels::LstmCellForward<T> forward() {
    return {.parameters = parameters(),
            .gates = {gates.data(), gates.row_stride()},
            .product = product.data(),
            .cell_before = {cell_before.data(), cell_before.row_stride()},
            .cell = {cell.data(), cell.row_stride()},
            .hidden = {hidden.data(), hidden.row_stride()},
            .next = next.data(),
            .members = int(members),
            .rows = int(rows),
            .units = int(units),
            .columns = int(columns)};
  }
  [[nodiscard]] kernels::LstmCellBackward<T> backward() {
    return {.parameters = parameters(),
            .gates = {gates.data(), gates.row_stride()},
            .cell_before = {cell_before.data(), cell_before.row_stride()},
            .cell = {cell.data(), cell.row_stride()},
            .dy = {dy.data(), dy.row_stride()},
            .product = dnext.data(),
            .dcell = dcell.data(),
            .before = before.data(),
            .members = int(members),
            .rows = int(rows),
            .units = int(units),
            .columns = int(columns)};
  }

  /// What the CPU computes in double from the same numbers.
  [[nodiscard]] LstmCell<double, Cpu> expected_cell() const {
    return {exactly(bias), exactly(output_ih), exactly(output_hh), exactly(input_hh)};
  }
  [[nodiscard]] LstmStep<double, Cpu> expected_step() const {
    return {converted<double>(gates), converted<double>(cell_before), converted<double>(cell)};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("the kernel lstm_cell_forward gives the CPU's step", "[lstm_cell]", float, bfloat16, half) {
  for_each_step<LstmCellLaunch<TestType>>([](LstmCellLaunch<TestType>& s, auto width) {
    auto step = s.expected_step();
    Tensor<double, Cpu> hidden(s.state()), next(s.state());
    lstm_cell_forward(s.expected_cell(), converted<double>(s.product), step, hidden, next);
    const auto p = s.forward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::lstm_cell_forward<TestType, width()>(p); },
        s.gates, s.cell, s.hidden, s.next));
    CHECK(distance(s.gates, step.gates) <= cell_tolerance<TestType>);
    CHECK(distance(s.cell, step.cell) <= cell_tolerance<float>);
    CHECK(distance(s.hidden, hidden) <= cell_tolerance<TestType>);
    CHECK(distance(s.next, s.in_columns(next)) <= cell_tolerance<TestType>);
    CHECK((gaps_untouched(s.gates) && gaps_untouched(s.cell) && gaps_untouched(s.hidden)));
  });
}

TEMPLATE_TEST_CASE("the kernel lstm_cell_backward gives the CPU's step", "[lstm_cell]", float, bfloat16, half) {
  for_each_step<LstmCellLaunch<TestType>>([](LstmCellLaunch<TestType>& s, auto width) {
    auto step = s.expected_step();
    auto dcell = converted<double>(s.dcell);
    Tensor<double, Cpu> before(s.gates_shape);
    lstm_cell_backward(s.expected_cell(), converted<double>(s.dy), s.in_units(s.dnext), step, dcell, before);
    const auto p = s.backward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::lstm_cell_backward<TestType, width()>(p); },
        s.gates, s.dcell, s.before));
    CHECK(distance(s.gates, step.gates) <= cell_tolerance<TestType>);
    CHECK(distance(s.dcell, dcell) <= cell_tolerance<float>);
    CHECK(distance(s.before, before) <= cell_tolerance<TestType>);
    CHECK(gaps_untouched(s.gates));
  });
}
