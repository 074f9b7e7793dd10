#include <lpw/cpu/elementwise.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct MapCase {
  Shape x;            // [K, ..., C]
  std::int64_t rows;  // of the factor or bias
  bool strided = false;

  [[nodiscard]] Shape parameter() const { return {rows, x[-1]}; }
  /// The element of the parameter, in row-major order, that element i of x meets.
  [[nodiscard]] std::int64_t column(std::int64_t i) const {
    return (rows == 1 ? 0 : i / x.size_from(1) * x[-1]) + i % x[-1];
  }
};

std::ostream& operator<<(std::ostream& out, const MapCase& c) {
  return out << "x " << c.x << " parameter rows " << c.rows << (c.strided ? " strided" : "");
}

const MapCase map_cases[] = {
    {.x = {1, 1}, .rows = 1},
    {.x = {2, 5, 1}, .rows = 2},
    {.x = {3, 4, 2, 2, 3}, .rows = 1},
    {.x = {3, 4, 5}, .rows = 3, .strided = true},
    {.x = {2, 3, 30, 20, 17}, .rows = 2, .strided = true},  // several blocks of rows per member
};

}  // namespace

TEMPLATE_TEST_CASE("scale_channels and add_channels equal their definitions", "[elementwise]", float, double,
                   bfloat16) {
  using W = Accumulate<TestType>;
  for (const MapCase& c : map_cases) {
    INFO(c);
    const auto x = random_tensor<TestType>(c.x, 1);
    const auto parameter = random_parameter<W>(c.parameter(), c.strided, 2);
    const auto in = values_of(x), p = values_of(parameter);
    Expected product(c.x.size()), sum(c.x.size());
    for (std::int64_t i = 0; i < c.x.size(); ++i) {
      product.add(i, in[i] * p[c.column(i)]);
      sum.add(i, in[i]);
      sum.add(i, p[c.column(i)]);
    }
    CHECK(mismatch<TestType>(scale_channels_forward(x, parameter), product) == "");
    CHECK(mismatch<TestType>(add_channels_forward(x, parameter), sum) == "");
  }
}

TEMPLATE_TEST_CASE("scale_channels: gradients equal their definitions", "[elementwise]", float, double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const MapCase& c : map_cases)
    for (const bool accumulate : {false, true}) {
      INFO(c << " accumulate " << accumulate);
      const auto x = random_tensor<TestType>(c.x, 1), dy = random_tensor<TestType>(c.x, 3);
      const auto factor = random_parameter<W>(c.parameter(), c.strided, 2);
      const auto in = values_of(x), d = values_of(dy), s = values_of(factor);
      Gradient<TestType, Cpu> dx{random_tensor<TestType>(c.x, 4), accumulate};
      Gradient<W, Cpu> dfactor{random_parameter<W>(c.parameter(), c.strided, 5), accumulate};
      Expected data(dx.tensor, accumulate), coefficient(dfactor.tensor, accumulate);
      for (std::int64_t i = 0; i < c.x.size(); ++i) {
        data.add(i, d[i] * s[c.column(i)]);
        coefficient.add(c.column(i), in[i] * d[i]);
      }
      data.terms = 2;
      coefficient.terms = static_cast<double>(c.x.size() / c.parameter().size() + 1);
      scale_channels_backward_data(dy, factor, dx);
      scale_channels_backward_factor(x, dy, dfactor);
      CHECK(mismatch<TestType>(dx.tensor, data) == "");
      CHECK(mismatch<W>(dfactor.tensor, coefficient) == "");
      CHECK(gaps_untouched(dfactor.tensor));
    }
}

TEMPLATE_TEST_CASE("relu passes on what is positive, and so does its gradient", "[elementwise]", float, double,
                   bfloat16) {
  using W = Accumulate<TestType>;
  auto x = random_tensor<TestType>({3, 37}, 1);
  x.data()[0] = TestType(0);
  const auto dy = random_tensor<TestType>({3, 37}, 2);
  const auto y = relu_forward(x);
  for (const bool accumulate : {false, true}) {
    Gradient<TestType, Cpu> dx{random_tensor<TestType>({3, 37}, 3), accumulate};
    const auto before = clone(dx.tensor);
    relu_backward(y, dy, dx);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const bool open = W(x.data()[i]) > 0;
      REQUIRE(y.data()[i] == (open ? x.data()[i] : TestType(0)));
      const W g = open ? W(dy.data()[i]) : W(0);
      REQUIRE(dx.tensor.data()[i] == TestType(accumulate ? W(before.data()[i]) + g : g));
    }
  }
}

TEMPLATE_TEST_CASE("add_in_place adds rows of any stride", "[elementwise]", float, double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const bool strided : {false, true})
    for (const bool strided_value : {false, true}) {
      auto target = random_parameter<TestType>({3, 2, 5}, strided, 1);
      const auto value = random_parameter<TestType>({3, 2, 5}, strided_value, 2);
      const auto before = clone(target), summand = clone(value);
      add_in_place(target, value);
      const auto found = clone(target);
      for (std::int64_t i = 0; i < 30; ++i)
        CHECK(found.data()[i] == TestType(W(before.data()[i]) + W(summand.data()[i])));
      CHECK(gaps_untouched(target));
    }
  auto one = zeros<TestType, Cpu>({2, 3});
  CHECK_THROWS_AS(add_in_place(one, zeros<TestType, Cpu>({3, 2})), ShapeError);
}

TEST_CASE("element-wise primitives give the same bits on any number of threads", "[elementwise]") {
  const Shape shape{2, 3, 40, 30, 17};
  const auto x = random_tensor<float>(shape, 1), dy = random_tensor<float>(shape, 2),
             factor = random_tensor<float>({2, 17}, 3);
  CHECK(same_on_any_threads([&] {
    Gradient<float, Cpu> dx{Tensor<float, Cpu>(shape)}, dfactor{Tensor<float, Cpu>({1, 17})};
    scale_channels_backward_data(dy, factor, dx);
    scale_channels_backward_factor(x, dy, dfactor);
    return std::vector{values_of(scale_channels_forward(x, factor)), values_of(add_channels_forward(x, factor)),
                       values_of(dx.tensor), values_of(dfactor.tensor), values_of(add_forward(clone(x), dy))};
  }));
}
