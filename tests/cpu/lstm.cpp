// The primitives of a step. What a whole window gives, and all gradients, are in autograd/lstm.cpp.
#include <lpw/cpu/lstm.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/engines.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Operands of one step of T, rounded from numbers that are the same in every type; parameters strided as in their
/// store.
template <class T, class W = Accumulate<T>>
struct LstmOperands {
  std::int64_t members, batch, hidden;
  Shape gates_shape{members, batch, 4 * hidden}, state{members, batch, hidden};

  [[nodiscard]] LstmCell<W, Cpu> cell(std::int64_t rows, bool factors) const {
    const auto parameter = [&](std::int64_t columns, std::uint32_t key) {
      return rounded_parameter<W>({rows, columns}, key);
    };
    const std::int64_t columns = 4 * hidden;
    if (!factors) return {parameter(columns, 1), {}, {}, {}};
    return {parameter(columns, 1), parameter(columns, 3), parameter(columns, 4), parameter(hidden, 5)};
  }
  [[nodiscard]] LstmStep<T, Cpu> operands() const {
    return {rounded_parameter<T>(gates_shape, 6), rounded_parameter<W>(state, 7), rounded_parameter<W>(state, 8)};
  }
};

/// All that forward and backward leave, as double.
template <class T>
std::vector<std::vector<double>> lstm_results(std::int64_t members, std::int64_t rows, bool factors) {
  using W = Accumulate<T>;
  const LstmOperands<T> s{members, 5, 21};
  const auto cell = s.cell(rows, factors);
  auto forward = s.operands(), backward = s.operands();
  const auto as = [&]<class V>(V, const Shape& shape, std::uint32_t key) {
    return clone(rounded_parameter<V>(shape, key));
  };
  auto hidden = rounded_parameter<T>(s.state, 9);
  Tensor<T, Cpu> next(s.state), before(s.gates_shape);
  lstm_cell_forward(cell, as(T(0.f), s.gates_shape, 10), forward, hidden, next);
  auto dcell = as(W(), s.state, 11);
  lstm_cell_backward(cell, rounded_parameter<T>(s.state, 12), as(T(0.f), s.state, 13), backward, dcell, before);
  CHECK((gaps_untouched(forward.gates) && gaps_untouched(forward.cell) && gaps_untouched(hidden) &&
         gaps_untouched(backward.gates)));
  CHECK(values_of(backward.cell) == values_of(rounded_parameter<W>(s.state, 8)));
  return {values_of(forward.gates),  values_of(forward.cell), values_of(hidden), values_of(next),
          values_of(backward.gates), values_of(dcell),        values_of(before)};
}

}  // namespace

TEMPLATE_TEST_CASE("lstm cell: float and bfloat16 round what double gives", "[lstm]", float, bfloat16) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t rows : {std::int64_t{1}, members})
      for (const bool factors : {false, true}) {
        INFO("members " << members << " parameter rows " << rows << " factors " << factors);
        const auto found = lstm_results<TestType>(members, rows, factors),
                   expected = lstm_results<double>(members, rows, factors);
        for (std::size_t result = 0; result < found.size(); ++result) {
          INFO("result " << result);
          // Values of at most 4, of up to twenty roundings in float, rounded to T twice (h before h o s, the gates
          // before times r).
          REQUIRE(largest_difference(found[result], expected[result]) <=
                  4 * (20 * epsilon<float>() + epsilon<TestType>()));
        }
      }
}

TEST_CASE("lstm cell: the same bits on any number of threads", "[lstm]") {
  CHECK(same_on_any_threads([] { return lstm_results<float>(3, 3, true); }));
}

TEMPLATE_TEST_CASE("recurrent products: the same bits on any number of threads", "[lstm]", float, bfloat16) {
  const auto x = random_tensor<TestType>({1, 24, 300}, 1), dy = random_tensor<TestType>({1, 24, 1200}, 2);
  const auto weight = random_tensor<Accumulate<TestType>>({1, 1200, 300}, 3);
  with_each_engine([&] {
    CHECK(same_on_any_threads([&] {
      auto forward = recurrent_weight<TestType>(weight, 100), backward = recurrent_weight<TestType>(weight, 100);
      return std::vector{values_of(recurrent_forward(x, forward)), values_of(recurrent_backward_data(dy, backward))};
    }));
  });
}

TEMPLATE_TEST_CASE("recurrent products are those of a linear layer, prepared or not", "[lstm]", float, bfloat16) {
  using W = Accumulate<TestType>;
  for (const std::int64_t rows : {1, 3}) {
    INFO("weight rows " << rows);
    const auto x = random_tensor<TestType>({3, 5, 7}, 1), dy = random_tensor<TestType>({3, 5, 12}, 2);
    const auto weight = random_parameter<W>({rows, 12, 7}, true, 3);
    Gradient<TestType, Cpu> dx{Tensor<TestType, Cpu>(x.shape()), false};
    linear_backward_data(dy, weight, dx);
    with_each_engine([&] {
      for (const std::int64_t steps : {1, 100}) {
        auto forward = recurrent_weight<TestType>(weight, steps), backward = recurrent_weight<TestType>(weight, steps);
        // Sums of at most 12 terms below 1; the weight, where the processor wants that, and the result are rounded to
        // T.
        const double tolerance = 12 * (12 * epsilon<float>() + epsilon<TestType>());
        for (int step = 0; step < 2; ++step) {
          CHECK(largest_difference(recurrent_forward(x, forward), linear_forward(x, weight, Tensor<W, Cpu>())) <=
                tolerance);
          CHECK(largest_difference(recurrent_backward_data(dy, backward), dx.tensor) <= tolerance);
        }
      }
    });
  }
}
