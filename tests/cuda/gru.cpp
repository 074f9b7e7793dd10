#include "cuda/operands.hpp"

#include <functional>

#include <lpw/autograd/gru.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Parts of a window, whose members lie `gap` elements further apart than they are long.
template <class T>
[[nodiscard]] Tensor<T, Cpu> apart(const Shape& shape, std::int64_t gap, std::uint32_t key) {
  auto store = full<T, Cpu>({shape[0], shape.size_from(1) + gap}, T(77.f));
  auto view = store.columns(0, shape.slice(1, 3));
  copy(random_tensor<T>(shape, key), view);
  return view;
}

/// Operands of a step.
template <class T>
struct CellStep {
  std::int64_t members, rows, units, gap;
  ParameterKind kind;
  bool factors;
  Shape gates_shape{members, rows, 3 * units}, state{members, rows, units};
  GruCell<float, Cpu> cell{parameter(3 * units, 1), parameter(3 * units, 2), factor(3 * units, 3), factor(3 * units, 4),
                           factor(units, 5)};
  GruStep<T, Cpu> step{apart<T>(gates_shape, gap, 6), apart<T>(state, gap, 12), apart<float>(state, gap, 7),
                       apart<float>(state, gap, 8)};

  [[nodiscard]] Tensor<float, Cpu> parameter(std::int64_t columns, std::uint32_t key) const {
    return kind.make(members, columns, key);
  }
  [[nodiscard]] Tensor<float, Cpu> factor(std::int64_t columns, std::uint32_t key) const {
    return factors ? parameter(columns, key) : Tensor<float, Cpu>();
  }
  /// Of what goes into the recurrent products and comes out of them.
  [[nodiscard]] std::int64_t columns() const { return gap == 8 ? (units + 7) / 8 * 8 : units; }
  /// [K, B, H] in so many columns, zeros past H.
  template <class V>
  [[nodiscard]] Tensor<V, Cpu> in_columns(const Tensor<V, Cpu>& tensor) const {
    auto result = zeros<V, Cpu>(state.with(2, columns()));
    auto view = result.reshaped({members * rows, columns()}).columns(0, {units});
    copy(tensor.reshaped({members * rows, units}), view);
    return result;
  }
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

/// Values of up to 5 from some twenty roundings, exp and tanh among them, rounded to T twice on their way.
template <class T>
constexpr double cell_tolerance = 40 * epsilon<float>() + 2 * epsilon<T>();

/// Calls body(step) for units that fill vectors of 4 or do not, members that begin where these may or do not, and all
/// forms of parameters.
template <class T, class Body>
void for_each_cell(const Body& body) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t units : {1, 5, 16, 36})
      for (const std::int64_t gap : {8, 5})
        for (const ParameterKind& kind : parameter_kinds)
          for (const bool factors : {false, true}) {
            const std::int64_t rows = 50 / units + 1;
            INFO("members " << members << " rows " << rows << " units " << units << " gap " << gap << ' ' << kind
                            << " factors " << factors);
            body(CellStep<T>{members, rows, units, gap, kind, factors});
          }
}

}  // namespace

TEMPLATE_TEST_CASE("gru_cell_forward on the GPU gives the CPU's step", "[gpu]", float, bfloat16, lpw::half) {
  for_each_cell<TestType>([](const CellStep<TestType>& s) {
    const auto product = random_tensor<TestType>(s.gates_shape, 9);
    auto expected = s.exact_step();
    Tensor<double, Cpu> hidden(s.state), next(s.state);
    gru_cell_forward(s.exact_cell(), converted<double>(product), expected, hidden, next);

    auto found = s.step_there();
    auto found_hidden = on_device(apart<TestType>(s.state, s.gap, 10));
    auto found_next = full<TestType, Cuda>(s.state.with(2, s.columns()), TestType(77.f));
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
  for_each_cell<TestType>([](const CellStep<TestType>& s) {
    const auto dy = apart<TestType>(s.state, s.gap, 9), product = random_tensor<TestType>(s.state, 10);
    const auto dcarried = random_tensor<float>(s.state, 11);
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

/// A window, and how many rows each kind of parameter has; 0: without factors.
struct WindowCase {
  std::int64_t members, hidden, weight_rows = 1, bias_rows = 1, ih_rows = 0, hh_rows = 0;
  static constexpr std::int64_t steps = 7, batch = 5, inputs = 9;

  [[nodiscard]] Shape x() const { return {members, steps, batch, inputs}; }
  [[nodiscard]] Shape state() const { return {members, batch, hidden}; }
};

std::ostream& operator<<(std::ostream& out, const WindowCase& w) {
  return out << "members " << w.members << " units " << w.hidden << " rows of weights " << w.weight_rows << ", biases "
             << w.bias_rows << ", factors " << w.ih_rows << " and " << w.hh_rows;
}

/// Puts numbers that are the same in every type on a device, and remembers their gradients. T: what the network under
/// test computes in.
template <class T, class D>
struct WindowOperands {
  Tape tape = Tape();
  std::uint32_t key = 100;
  std::vector<std::function<std::vector<double>()>> gradients = {};

  /// Rows of a parameter lie in a wider store, as late-phase weights do.
  template <class V>
  [[nodiscard]] Variable<V, D> leaf(const Shape& shape, V, double size = 1) {
    const bool strided = shape.rank() < 4 && shape[0] > 1;
    auto values = random_parameter<V>(shape, strided, 0), zero = random_parameter<V>(shape, strided, 0);
    const auto draws = random_tensor<double>(shape, key++);
    for (std::int64_t k = 0, i = 0; k < shape[0]; ++k)
      for (std::int64_t j = 0; j < shape.size_from(1); ++j)
        values.row(k)[j] = V(double(T(float(size * draws.data()[i++]))));
    fill(zero, V(0.f));
    const auto gradient = there(zero);
    gradients.push_back([gradient] { return values_of(to_host(gradient)); });
    return tape.leaf(there(values), gradient);
  }
  template <class W>
  [[nodiscard]] GruMatrix<W, D> matrix(const WindowCase& w, std::int64_t columns, std::int64_t factor_rows, W) {
    const std::int64_t gates = 3 * w.hidden;
    auto weight = leaf({w.weight_rows, gates, columns}, W(), 0.3);  // sums of some ten terms then stay below 2
    GruMatrix<W, D> result{weight, leaf({w.bias_rows, gates}, W())};
    if (factor_rows > 0) {
      auto output = leaf({factor_rows, gates}, W());
      result.factors = RankOneFactors<W, D>{output, leaf({factor_rows, columns}, W())};
    }
    return result;
  }

 private:
  template <class V>
  [[nodiscard]] static Tensor<V, D> there(const Tensor<V, Cpu>& host) {
    if constexpr (std::is_same_v<D, Cpu>) {
      return host;
    } else {
      return on_device(host);
    }
  }
};

/// h of all steps, the last state, and all gradients, computed in V.
template <class T, class V, class D>
[[nodiscard]] std::vector<std::vector<double>> window_results(const WindowCase& w, V, D) {
  using W = Accumulate<V>;
  WindowOperands<T, D> operands;
  const auto x = operands.leaf(w.x(), V(0.f)), hidden = operands.leaf(w.state(), V(0.f));
  const auto ih = operands.matrix(w, w.inputs, w.ih_rows, W()), hh = operands.matrix(w, w.hidden, w.hh_rows, W());
  const auto result = gru(x, hidden, ih, hh);
  std::vector<std::vector<double>> all;
  all.push_back(values_of(to_host(clone(result.y.value()))));
  all.push_back(values_of(to_host(result.state.hidden)));
  operands.tape.backward(result.y);
  for (const auto& gradient : operands.gradients) all.push_back(gradient());
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("gru recorded on the GPU has the values and gradients of double on the CPU", "[gpu]", float,
                   bfloat16, lpw::half) {
  for (const WindowCase& w :
       {WindowCase{.members = 1, .hidden = 17}, WindowCase{.members = 3, .hidden = 16, .ih_rows = 3, .hh_rows = 3},
        WindowCase{.members = 2, .hidden = 17, .bias_rows = 2, .ih_rows = 1, .hh_rows = 1},
        WindowCase{.members = 2, .hidden = 8, .weight_rows = 2, .bias_rows = 2, .ih_rows = 2},
        WindowCase{.members = 2, .hidden = 8, .weight_rows = 2, .hh_rows = 2}}) {
    INFO(w);
    const auto expected = window_results<TestType>(w, double(), Cpu()),
               found = window_results<TestType>(w, TestType(0.f), Cuda());
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("result " << i);
      // Some ten roundings in each of seven steps, or sums of 70 terms in float, which add up as their square root.
      CHECK(relative_difference(found[i], expected[i]) <= std::sqrt(70.0) * epsilon<TestType>());
    }
  }
}
