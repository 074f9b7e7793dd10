#include "cuda/recurrent.hpp"

#include <lpw/autograd/lstm.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of a step.
template <class T>
struct LstmCellOperands : CellSizes {
  Shape gates_shape{members, rows, 4 * units};
  LstmCell<float, Cpu> cell{parameter(4 * units, 1), factor(4 * units, 3), factor(4 * units, 4), factor(units, 5)};
  LstmStep<T, Cpu> step{apart<T>(gates_shape, gap, 6), apart<float>(state(), gap, 7), apart<float>(state(), gap, 8)};

  template <class W, class D, class Place>
  [[nodiscard]] LstmCell<W, D> cell_with(const Place& place) const {
    const auto of = [&](const Tensor<float, Cpu>& tensor) { return tensor.empty() ? Tensor<W, D>() : place(tensor); };
    return {of(cell.bias), of(cell.output_ih), of(cell.output_hh), of(cell.input_hh)};
  }
  [[nodiscard]] LstmCell<float, Cuda> cell_there() const {
    return cell_with<float, Cuda>([](const auto& tensor) { return on_device(tensor); });
  }
  [[nodiscard]] LstmCell<double, Cpu> exact_cell() const {
    return cell_with<double, Cpu>([](const auto& tensor) { return converted<double>(tensor); });
  }
  [[nodiscard]] LstmStep<T, Cuda> step_there() const {
    return {on_device(step.gates), on_device(step.cell_before), on_device(step.cell)};
  }
  [[nodiscard]] LstmStep<double, Cpu> exact_step() const {
    return {converted<double>(step.gates), converted<double>(step.cell_before), converted<double>(step.cell)};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("lstm_cell_forward on the GPU gives the CPU's step", "[gpu]", float, bfloat16, lpw::half) {
  for_each_cell<LstmCellOperands<TestType>>([](const LstmCellOperands<TestType>& s) {
    const auto product = random_tensor<TestType>(s.gates_shape, 9);
    auto expected = s.exact_step();
    Tensor<double, Cpu> hidden(s.state()), next(s.state());
    lstm_cell_forward(s.exact_cell(), converted<double>(product), expected, hidden, next);

    auto found = s.step_there();
    auto found_hidden = on_device(apart<TestType>(s.state(), s.gap, 10));
    auto found_next = full<TestType, Cuda>(s.state().with(2, s.columns()), TestType(77.f));
    lstm_cell_forward(s.cell_there(), on_device(product), found, found_hidden, found_next);
    CHECK(distance(found.gates, expected.gates) <= cell_tolerance<TestType>);
    CHECK(distance(found.cell, expected.cell) <= cell_tolerance<float>);
    CHECK(distance(found_hidden, hidden) <= cell_tolerance<TestType>);
    CHECK(distance(found_next, s.in_columns(next)) <= cell_tolerance<TestType>);
    CHECK((gaps_untouched(found.gates) && gaps_untouched(found.cell) && gaps_untouched(found_hidden)));
  });
}

TEMPLATE_TEST_CASE("lstm_cell_backward on the GPU gives the CPU's step", "[gpu]", float, bfloat16, lpw::half) {
  for_each_cell<LstmCellOperands<TestType>>([](const LstmCellOperands<TestType>& s) {
    const auto dy = apart<TestType>(s.state(), s.gap, 9), product = random_tensor<TestType>(s.state(), 10);
    const auto dcell = random_tensor<float>(s.state(), 11);
    auto expected = s.exact_step();
    auto expected_dcell = converted<double>(dcell);
    Tensor<double, Cpu> before(s.gates_shape);
    lstm_cell_backward(s.exact_cell(), converted<double>(dy), converted<double>(product), expected, expected_dcell,
                       before);

    auto found = s.step_there();
    auto found_dcell = on_device(dcell);
    Tensor<TestType, Cuda> found_before(s.gates_shape);
    lstm_cell_backward(s.cell_there(), on_device(dy), on_device(s.in_columns(product)), found, found_dcell,
                       found_before);
    CHECK(distance(found.gates, expected.gates) <= cell_tolerance<TestType>);
    CHECK(distance(found_dcell, expected_dcell) <= cell_tolerance<float>);
    CHECK(distance(found_before, before) <= cell_tolerance<TestType>);
    CHECK(equal(found.cell, s.step.cell));
    CHECK(gaps_untouched(found.gates));
  });
}

TEMPLATE_TEST_CASE("recurrent products on the GPU are those with the rounded weight", "[gpu]", float, bfloat16,
                   lpw::half) {
  for (const std::int64_t rows : {1, 3}) {
    INFO("weight rows " << rows);
    const auto x = random_tensor<TestType>({3, 5, 7}, 1), dy = random_tensor<TestType>({3, 5, 12}, 2);
    const auto weight = random_parameter<float>({rows, 12, 7}, true, 3);
    const auto rounded = converted<double>(converted<TestType>(weight));
    Gradient<double, Cpu> dx{Tensor<double, Cpu>(x.shape())};
    linear_backward_data(converted<double>(dy), rounded, dx);
    const auto prepared = recurrent_weight<TestType>(on_device(weight), 1);
    // Sums of at most 12 terms below 1 in float; the result is rounded to T.
    const double sums = 12 * epsilon<float>() + epsilon<TestType>();
    CHECK(distance(recurrent_forward(recurrent_state(on_device(x), prepared), prepared),
                   linear_forward(converted<double>(x), rounded, Tensor<double, Cpu>())) <= sums);
    // Whole vectors of 16 bytes where the weight is a copy, with zeros past the columns that there are.
    const std::int64_t columns = std::is_same_v<TestType, float> ? 7 : 8;
    auto whole = zeros<double, Cpu>({3, 5, columns});
    auto view = whole.reshaped({15, columns}).columns(0, {7});
    copy(dx.tensor.reshaped({15, 7}), view);
    CHECK(distance(recurrent_backward_data(on_device(dy), prepared), whole) <= sums);
  }
}

namespace {

/// h of all steps, the last states, and all gradients, computed in V.
template <class T, class V, class D>
[[nodiscard]] std::vector<std::vector<double>> lstm_window(const WindowCase& w, V, D) {
  using W = Accumulate<V>;
  WindowOperands<T, D> operands;
  const auto x = operands.leaf(w.x(), V(0.f)), hidden = operands.leaf(w.state(), V(0.f));
  const auto cell = operands.leaf(w.state(), W());
  const auto ih = operands.matrix(w, 4, w.inputs, w.ih_rows, W()), hh = operands.matrix(w, 4, w.hidden, w.hh_rows, W());
  const auto result = lstm(x, hidden, cell, ih, hh);
  std::vector<std::vector<double>> all;
  all.push_back(values_of(to_host(clone(result.y.value()))));
  all.push_back(values_of(to_host(result.state.hidden)));
  all.push_back(values_of(to_host(result.state.cell)));
  backward_of_sum(operands.tape, result.y);
  for (const auto& gradient : operands.gradients) all.push_back(gradient());
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("lstm recorded on the GPU has the values and gradients of double on the CPU", "[gpu]", float,
                   bfloat16, lpw::half) {
  check_windows<TestType>(
      [](const WindowCase& w, auto type, auto device) { return lstm_window<TestType>(w, type, device); });
}
