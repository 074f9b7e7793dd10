#include "cuda/recurrent.hpp"

#include <lpw/autograd/gru.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of a step.
template <class T>
struct GruCellOperands : CellSizes {
  Shape gates_shape{members, rows, 3 * units};
  GruCell<float, Cpu> cell{parameter(3 * units, 1), parameter(3 * units, 2), factor(3 * units, 3), factor(3 * units, 4),
                           factor(units, 5)};
  GruStep<T, Cpu> step{apart<T>(gates_shape, gap, 6), apart<T>(state(), gap, 12), apart<float>(state(), gap, 7),
                       apart<float>(state(), gap, 8)};

  template <class W, class D, class Place>
  [[nodiscard]] GruCell<W, D> cell_with(const Place& place) const {
    const auto of = [&](const Tensor<float, Cpu>& tensor) { return tensor.empty() ? Tensor<W, D>() : place(tensor); };
    return {of(cell.bias_ih), of(cell.bias_hh), of(cell.output_ih), of(cell.output_hh), of(cell.input_hh)};
  }
  [[nodiscard]] GruCell<float, Cuda> cell_there() const {
    return cell_with<float, Cuda>([](const auto& tensor) { return on_device(tensor); });
  }
  [[nodiscard]] GruCell<double, Cpu> exact_cell() const {
    return cell_with<double, Cpu>([](const auto& tensor) { return converted<double>(tensor); });
  }
  [[nodiscard]] GruStep<T, Cuda> step_there() const {
    return {on_device(step.gates), on_device(step.inner), on_device(step.carried_before), on_device(step.carried)};
  }
  [[nodiscard]] GruStep<double, Cpu> exact_step() const {
    return {converted<double>(step.gates), converted<double>(step.inner), converted<double>(step.carried_before),
            converted<double>(step.carried)};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("gru_cell_forward on the GPU gives the CPU's step", "[gpu]", float, bfloat16, lpw::half) {
  for_each_cell<GruCellOperands<TestType>>([](const GruCellOperands<TestType>& s) {
    const auto product = random_tensor<TestType>(s.gates_shape, 9);
    auto expected = s.exact_step();
    Tensor<double, Cpu> hidden(s.state()), next(s.state());
    gru_cell_forward(s.exact_cell(), converted<double>(product), expected, hidden, next);

    auto found = s.step_there();
    auto found_hidden = on_device(apart<TestType>(s.state(), s.gap, 10));
    auto found_next = full<TestType, Cuda>(s.state().with(2, s.columns()), TestType(77.f));
    gru_cell_forward(s.cell_there(), on_device(product), found, found_hidden, found_next);
    CHECK(distance(found.gates, expected.gates) <= cell_tolerance<TestType>);
    CHECK(distance(found.inner, expected.inner) <= cell_tolerance<TestType>);
    CHECK(distance(found.carried, expected.carried) <= cell_tolerance<float>);
    CHECK(distance(found_hidden, hidden) <= cell_tolerance<TestType>);
    CHECK(distance(found_next, s.in_columns(next)) <= cell_tolerance<TestType>);
    CHECK((gaps_untouched(found.gates) && gaps_untouched(found.inner) && gaps_untouched(found.carried) &&
           gaps_untouched(found_hidden)));
  });
}

TEMPLATE_TEST_CASE("gru_cell_backward on the GPU gives the CPU's step", "[gpu]", float, bfloat16, lpw::half) {
  for_each_cell<GruCellOperands<TestType>>([](const GruCellOperands<TestType>& s) {
    const auto dy = apart<TestType>(s.state(), s.gap, 9), product = random_tensor<TestType>(s.state(), 10);
    const auto dcarried = random_tensor<float>(s.state(), 11);
    auto expected = s.exact_step();
    auto expected_dcarried = converted<double>(dcarried);
    Tensor<double, Cpu> before(s.gates_shape);
    gru_cell_backward(s.exact_cell(), converted<double>(dy), converted<double>(product), expected, expected_dcarried,
                      before);

    auto found = s.step_there();
    auto found_dcarried = on_device(dcarried);
    Tensor<TestType, Cuda> found_before(s.gates_shape);
    gru_cell_backward(s.cell_there(), on_device(dy), on_device(s.in_columns(product)), found, found_dcarried,
                      found_before);
    CHECK(distance(found.gates, expected.gates) <= cell_tolerance<TestType>);
    CHECK(distance(found_dcarried, expected_dcarried) <= cell_tolerance<float>);
    CHECK(distance(found_before, before) <= cell_tolerance<TestType>);
    CHECK(distance(found.inner, expected.inner) <= cell_tolerance<TestType>);
    CHECK(equal(found.carried, s.step.carried));
    CHECK((gaps_untouched(found.gates) && gaps_untouched(found.inner)));
  });
}

namespace {

/// h of all steps, the last state, and all gradients, computed in V.
template <class T, class V, class D>
[[nodiscard]] std::vector<std::vector<double>> gru_window(const WindowCase& w, V, D) {
  using W = Accumulate<V>;
  WindowOperands<T, D> operands;
  const auto x = operands.leaf(w.x(), V(0.f)), hidden = operands.leaf(w.state(), V(0.f));
  const auto ih = operands.matrix(w, 3, w.inputs, w.ih_rows, W()), hh = operands.matrix(w, 3, w.hidden, w.hh_rows, W());
  const auto result = gru(x, hidden, ih, hh);
  std::vector<std::vector<double>> all;
  all.push_back(values_of(to_host(clone(result.y.value()))));
  all.push_back(values_of(to_host(result.state.hidden)));
  backward_of_sum(operands.tape, result.y);
  for (const auto& gradient : operands.gradients) all.push_back(gradient());
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("gru recorded on the GPU has the values and gradients of double on the CPU", "[gpu]", float,
                   bfloat16, lpw::half) {
  check_windows<TestType>(
      [](const WindowCase& w, auto type, auto device) { return gru_window<TestType>(w, type, device); });
}
