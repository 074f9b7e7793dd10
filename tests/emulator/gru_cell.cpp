#include "emulator/kernel_check.hpp"

#include <lpw/kernels/gru_cell.cuh>

#include <lpw/cpu/gru.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of one step, as a window and a late-phase store hold them; and the launch.
template <class T>
struct Step {
  std::int64_t members, rows, units, parameter_rows;
  bool factors, aligned;  // parameters, to what vectors of 4 take
  std::int64_t columns;   // of `next` and of backward's product
  Shape gates_shape{members, rows, 3 * units}, state{members, rows, units};
  Tensor<float, Cpu> bias_ih = parameter(3 * units, 1), bias_hh = parameter(3 * units, 2);
  Tensor<float, Cpu> output_ih = factor(3 * units, 3), output_hh = factor(3 * units, 4), input_hh = factor(units, 5);
  Tensor<T, Cpu> gates = strided<T>(gates_shape, 6), inner = strided<T>(state, 14),
                 product = random_tensor<T>(gates_shape, 7), hidden = strided<T>(state, 8),
                 next = unwritten<T>(state.with(2, columns));
  Tensor<float, Cpu> carried_before = strided<float>(state, 9), carried = strided<float>(state, 10);
  // Backward's.
  Tensor<T, Cpu> dy = strided<T>(state, 11), dnext = random_tensor<T>(state.with(2, columns), 12),
                 before = unwritten<T>(gates_shape);
  Tensor<float, Cpu> dcarried = random_tensor<float>(state, 13);

  /// Member rows apart by as much as keeps vectors of 4 aligned.
  template <class V>
  [[nodiscard]] static Tensor<V, Cpu> strided(const Shape& shape, std::uint32_t key) {
    const std::int64_t length = shape.size_from(1);
    auto store = full<V, Cpu>({shape[0], length + 8}, V(77.f));
    auto view = store.columns(4, shape.slice(1, shape.rank()));
    copy(random_tensor<V>(shape, key), view);
    return view;
  }
  [[nodiscard]] Tensor<float, Cpu> parameter(std::int64_t columns, std::uint32_t key) const {
    if (aligned) return strided<float>({parameter_rows, columns}, key);
    return random_parameter<float>({parameter_rows, columns}, true, key);
  }
  [[nodiscard]] Tensor<float, Cpu> factor(std::int64_t columns, std::uint32_t key) const {
    return factors ? parameter(columns, key) : Tensor<float, Cpu>();
  }

  [[nodiscard]] kernels::GruCellParameters parameters() const {
    const auto of = [](const Tensor<float, Cpu>& tensor) {
      return kernels::MemberParameter{tensor.data(), !tensor.empty() && tensor.dim(0) > 1 ? tensor.row_stride() : 0};
    };
    return {of(bias_ih), of(bias_hh), of(output_ih), of(output_hh), of(input_hh)};
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
    const auto of = [](const Tensor<float, Cpu>& tensor) {
      return tensor.empty() ? Tensor<double, Cpu>() : converted<double>(tensor);
    };
    return {of(bias_ih), of(bias_hh), of(output_ih), of(output_hh), of(input_hh)};
  }
  /// [K, B, H] with the columns past H, which hold zeros.
  [[nodiscard]] Tensor<double, Cpu> in_columns(const Tensor<double, Cpu>& tensor) const {
    auto result = zeros<double, Cpu>(next.shape());
    auto view = result.reshaped({members * rows, columns}).columns(0, {units});
    copy(tensor.reshaped({members * rows, units}), view);
    return result;
  }
  /// The first H columns.
  [[nodiscard]] Tensor<double, Cpu> in_units(const Tensor<T, Cpu>& tensor) const {
    const auto view = converted<double>(tensor).reshaped({members * rows, columns}).columns(0, {units});
    return clone(view).reshaped(state);
  }
  [[nodiscard]] GruStep<double, Cpu> expected_step() const {
    return {converted<double>(gates), converted<double>(inner), converted<double>(carried_before),
            converted<double>(carried)};
  }
};

/// Values of up to 5 from some twenty roundings, exp and tanh among them, rounded to T twice on their way.
template <class T>
constexpr double tolerance = 40 * epsilon<float>() + 2 * epsilon<T>();

/// Calls body(step, width) for sizes that fill vectors of 4 or do not, and all forms of parameters.
template <class T, class Body>
void for_each_step(const Body& body) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t units : {1, 5, 16, 36, 300})
      for (const std::int64_t parameter_rows : {std::int64_t{1}, members})
        for (const bool factors : {false, true}) {
          if (units == 300 && members > 1) continue;
          const std::int64_t rows = 120 / units + 1;
          INFO("members " << members << " rows " << rows << " units " << units << " parameter rows " << parameter_rows
                          << " factors " << factors);
          const bool whole = units == 5 || units == 36;  // rows filled up to a multiple of 16 bytes
          Step<T> narrow{members, rows, units, parameter_rows, factors, whole, whole ? units + 3 : units};
          body(narrow, std::integral_constant<int, 1>());
          if (units % 4 != 0) continue;
          for (const bool aligned : {false, true}) {
            Step<T> wide{members, rows, units, parameter_rows, factors, aligned, whole ? units + 4 : units};
            body(wide, std::integral_constant<int, 4>());
          }
        }
}

}  // namespace

TEMPLATE_TEST_CASE("the kernel gru_cell_forward gives the CPU's step", "[gru_cell]", float, bfloat16, half) {
  for_each_step<TestType>([](Step<TestType>& s, auto width) {
    auto step = s.expected_step();
    Tensor<double, Cpu> hidden(s.state), next(s.state);
    gru_cell_forward(s.expected_cell(), converted<double>(s.product), step, hidden, next);
    const auto p = s.forward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::gru_cell_forward<TestType, width()>(p); },
        s.gates, s.inner, s.carried, s.hidden, s.next));
    CHECK(distance(s.gates, step.gates) <= tolerance<TestType>);
    CHECK(distance(s.inner, step.inner) <= tolerance<TestType>);
    CHECK(distance(s.carried, step.carried) <= tolerance<float>);
    CHECK(distance(s.hidden, hidden) <= tolerance<TestType>);
    CHECK(distance(s.next, s.in_columns(next)) <= tolerance<TestType>);
    CHECK(
        (gaps_untouched(s.gates) && gaps_untouched(s.inner) && gaps_untouched(s.carried) && gaps_untouched(s.hidden)));
  });
}

TEMPLATE_TEST_CASE("the kernel gru_cell_backward gives the CPU's step", "[gru_cell]", float, bfloat16, half) {
  for_each_step<TestType>([](Step<TestType>& s, auto width) {
    auto step = s.expected_step();
    auto dcarried = converted<double>(s.dcarried);
    Tensor<double, Cpu> before(s.gates_shape);
    gru_cell_backward(s.expected_cell(), converted<double>(s.dy), s.in_units(s.dnext), step, dcarried, before);
    const auto p = s.backward();
    CHECK(same_on_any_order(
        small_plan(s.rows * s.units / width, s.members), [&] { kernels::gru_cell_backward<TestType, width()>(p); },
        s.gates, s.inner, s.dcarried, s.before));
    CHECK(distance(s.gates, step.gates) <= tolerance<TestType>);
    CHECK(distance(s.dcarried, dcarried) <= tolerance<float>);
    CHECK(distance(s.inner, step.inner) <= tolerance<TestType>);
    CHECK(distance(s.before, before) <= tolerance<TestType>);
    CHECK((gaps_untouched(s.gates) && gaps_untouched(s.inner)));
  });
}
