// The primitives of a step. What a whole window gives, and all gradients, are in autograd/gru.cpp.
#include <lpw/cpu/gru.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of one step of T, rounded from numbers that are the same in every type; parameters strided as in their
/// store.
template <class T, class W = Accumulate<T>>
struct GruOperands {
  std::int64_t members, batch, hidden;
  Shape gates_shape{members, batch, 3 * hidden}, state{members, batch, hidden};

  [[nodiscard]] GruCell<W, Cpu> cell(std::int64_t rows, bool factors) const {
    const auto parameter = [&](std::int64_t columns, std::uint32_t key) {
      return rounded_parameter<W>({rows, columns}, key);
    };
    const std::int64_t columns = 3 * hidden;
    if (!factors) return {parameter(columns, 1), parameter(columns, 2), {}, {}, {}};
    return {parameter(columns, 1), parameter(columns, 2), parameter(columns, 3), parameter(columns, 4),
            parameter(hidden, 5)};
  }
  [[nodiscard]] GruStep<T, Cpu> operands() const {
    return {rounded_parameter<T>(gates_shape, 6), rounded_parameter<T>(state, 14), rounded_parameter<W>(state, 7),
            rounded_parameter<W>(state, 8)};
  }
};

/// All that forward and backward leave, as double.
template <class T>
std::vector<std::vector<double>> gru_results(std::int64_t members, std::int64_t rows, bool factors) {
  using W = Accumulate<T>;
  const GruOperands<T> s{members, 5, 21};
  const auto cell = s.cell(rows, factors);
  auto forward = s.operands(), backward = s.operands();
  const auto as = [&]<class V>(V, const Shape& shape, std::uint32_t key) {
    return clone(rounded_parameter<V>(shape, key));
  };
  auto hidden = rounded_parameter<T>(s.state, 9);
  Tensor<T, Cpu> next(s.state), before(s.gates_shape);
  gru_cell_forward(cell, as(T(0.f), s.gates_shape, 10), forward, hidden, next);
  auto dcarried = as(W(), s.state, 11);
  gru_cell_backward(cell, rounded_parameter<T>(s.state, 12), as(T(0.f), s.state, 13), backward, dcarried, before);
  CHECK((gaps_untouched(forward.gates) && gaps_untouched(forward.inner) && gaps_untouched(forward.carried) &&
         gaps_untouched(hidden) && gaps_untouched(backward.gates) && gaps_untouched(backward.inner)));
  CHECK(values_of(backward.carried) == values_of(rounded_parameter<W>(s.state, 8)));
  return {values_of(forward.gates),  values_of(forward.inner), values_of(forward.carried),
          values_of(hidden),         values_of(next),          values_of(backward.gates),
          values_of(backward.inner), values_of(dcarried),      values_of(before)};
}

}  // namespace

TEMPLATE_TEST_CASE("gru cell: float and bfloat16 round what double gives", "[gru]", float, bfloat16) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t rows : {std::int64_t{1}, members})
      for (const bool factors : {false, true}) {
        INFO("members " << members << " parameter rows " << rows << " factors " << factors);
        const auto found = gru_results<TestType>(members, rows, factors),
                   expected = gru_results<double>(members, rows, factors);
        for (std::size_t result = 0; result < found.size(); ++result) {
          INFO("result " << result);
          // Values of at most 4, of up to twenty roundings in float, rounded to T twice (h before h o s, gradients
          // before times r).
          REQUIRE(largest_difference(found[result], expected[result]) <=
                  4 * (20 * epsilon<float>() + epsilon<TestType>()));
        }
      }
}

TEMPLATE_TEST_CASE("gru: the state is carried as it is, and its gradient rounded", "[gru]", float, bfloat16) {
  const auto hidden = random_tensor<TestType>({2, 3, 4}, 1);
  CHECK(values_of(carried_state(hidden)) == values_of(hidden));
  const auto dcarried = random_tensor<Accumulate<TestType>>({2, 3, 4}, 2);
  for (const bool accumulate : {false, true}) {
    Gradient<TestType, Cpu> dhidden{clone(hidden), accumulate};
    carried_state_backward(dcarried, dhidden);
    for (std::int64_t i = 0; i < dcarried.size(); ++i)
      CHECK(dhidden.tensor.data()[i] ==
            TestType((accumulate ? float(hidden.data()[i]) : 0.f) + float(dcarried.data()[i])));
  }
}

TEST_CASE("gru cell: the same bits on any number of threads", "[gru]") {
  CHECK(same_on_any_threads([] { return gru_results<float>(3, 3, true); }));
}
