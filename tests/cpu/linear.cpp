#include <lpw/cpu/linear.hpp>

#include <cstring>

#include "catch.hpp"
#include "support/engines.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct LinearCase {
  std::int64_t members, weight_rows, bias_rows, batch, in, out;
  bool strided = false;

  [[nodiscard]] Shape x() const { return {members, batch, in}; }
  [[nodiscard]] Shape y() const { return {members, batch, out}; }
  [[nodiscard]] Shape weight() const { return {weight_rows, out, in}; }
  [[nodiscard]] Shape bias() const { return {bias_rows, out}; }
};

std::ostream& operator<<(std::ostream& stream, const LinearCase& c) {
  return stream << "x " << describe(c.x(), "KBI") << " weight " << describe(c.weight(), "KOI") << " bias rows "
                << c.bias_rows << (c.strided ? " strided" : "");
}

/// Calls visit(index in x, in weight, in y) for every product.
template <class Visit>
void for_each_product(const LinearCase& c, Visit&& visit) {
  for (std::int64_t row = 0; row < c.members * c.batch; ++row)
    for (std::int64_t o = 0; o < c.out; ++o)
      for (std::int64_t i = 0; i < c.in; ++i)
        visit(row * c.in + i, ((c.weight_rows == 1 ? 0 : row / c.batch) * c.out + o) * c.in + i, row * c.out + o);
}

template <class T>
void check_forward(const LinearCase& c, bool with_bias) {
  using W = Accumulate<T>;
  const auto x = random_tensor<T>(c.x(), 1);
  const auto weight = random_parameter<W>(c.weight(), c.strided, 2);
  const auto bias = with_bias ? random_parameter<W>(c.bias(), c.strided, 3) : Tensor<W, Cpu>();
  const auto in = values_of(x), w = values_of(weight), b = values_of(bias);
  Expected expected(c.y().size());
  expected.terms = static_cast<double>(c.in + 1);
  for_each_product(c, [&](auto i, auto j, auto out) { expected.add(out, in[i] * w[j]); });
  if (with_bias)
    for (std::int64_t i = 0; i < c.y().size(); ++i)
      expected.add(i, b[(c.bias_rows == 1 ? 0 : i / (c.batch * c.out)) * c.out + i % c.out]);
  const auto y = linear_forward(x, weight, bias);
  CHECK(y.shape() == c.y());
  CHECK(mismatch<T>(y, expected) == "");
}

template <class T>
void check_backward(const LinearCase& c, bool accumulate) {
  using W = Accumulate<T>;
  const auto x = random_tensor<T>(c.x(), 1), dy = random_tensor<T>(c.y(), 4);
  const auto weight = random_parameter<W>(c.weight(), c.strided, 2);
  const auto in = values_of(x), w = values_of(weight), d = values_of(dy);
  Gradient<T, Cpu> dx{random_tensor<T>(c.x(), 5), accumulate};
  Gradient<W, Cpu> dweight{random_parameter<W>(c.weight(), c.strided, 6), accumulate};
  Gradient<W, Cpu> dbias{random_parameter<W>(c.bias(), c.strided, 7), accumulate};
  Expected data(dx.tensor, accumulate), kernel(dweight.tensor, accumulate), shift(dbias.tensor, accumulate);
  data.terms = static_cast<double>(c.out + 1);
  kernel.terms = shift.terms = static_cast<double>(c.members * c.batch + 1);
  for_each_product(c, [&](auto i, auto j, auto out) {
    data.add(i, d[out] * w[j]);
    kernel.add(j, in[i] * d[out]);
  });
  for (std::int64_t i = 0; i < c.y().size(); ++i)
    shift.add((c.bias_rows == 1 ? 0 : i / (c.batch * c.out)) * c.out + i % c.out, d[i]);
  linear_backward_data(dy, weight, dx);
  linear_backward_weight(x, dy, dweight);
  linear_backward_bias(dy, dbias);
  CHECK(mismatch<T>(dx.tensor, data) == "");
  // Products of bfloat16 are exact in float, and these gradients are stored in it.
  CHECK(mismatch<W>(dweight.tensor, kernel) == "");
  CHECK(mismatch<W>(dbias.tensor, shift) == "");
  CHECK(gaps_untouched(dweight.tensor));
  CHECK(gaps_untouched(dbias.tensor));
}

constexpr LinearCase linear_cases[] = {
    {.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 1, .in = 1, .out = 1},
    {.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 7, .in = 5, .out = 1},
    {.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 1, .in = 17, .out = 16},
    {.members = 3, .weight_rows = 1, .bias_rows = 1, .batch = 4, .in = 3, .out = 10},
    {.members = 3, .weight_rows = 3, .bias_rows = 1, .batch = 5, .in = 64, .out = 7},
    {.members = 3, .weight_rows = 1, .bias_rows = 3, .batch = 5, .in = 33, .out = 4},
    {.members = 3, .weight_rows = 3, .bias_rows = 3, .batch = 1, .in = 6, .out = 9},
    {.members = 3, .weight_rows = 3, .bias_rows = 3, .batch = 6, .in = 31, .out = 70, .strided = true},
    {.members = 2, .weight_rows = 2, .bias_rows = 2, .batch = 300, .in = 40, .out = 130, .strided = true},
};

// The gradient of a small weight, over so many rows that these are cut.
constexpr LinearCase long_sums{.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 20'000, .in = 12, .out = 40};

template <class T>
std::vector<std::vector<double>> results(const LinearCase& c) {
  using W = Accumulate<T>;
  const auto x = random_tensor<T>(c.x(), 1), dy = random_tensor<T>(c.y(), 4);
  const auto weight = random_tensor<W>(c.weight(), 2), bias = random_tensor<W>(c.bias(), 3);
  Gradient<T, Cpu> dx{Tensor<T, Cpu>(c.x())};
  Gradient<W, Cpu> dweight{Tensor<W, Cpu>(c.weight())}, dbias{Tensor<W, Cpu>(c.bias())};
  linear_backward_data(dy, weight, dx);
  linear_backward_weight(x, dy, dweight);
  linear_backward_bias(dy, dbias);
  return {values_of(linear_forward(x, weight, bias)), values_of(dx.tensor), values_of(dweight.tensor),
          values_of(dbias.tensor)};
}

}  // namespace

/// In bfloat16 256 + 1 is 256, and 256 + 1 + 1 is 258.
TEST_CASE("linear adds its bias before the sum is rounded", "[linear]") {
  const auto x = full<bfloat16, Cpu>({1, 1, 2}, bfloat16(1.f));
  const auto weight = tensor_of<float>({1, 1, 2}, std::vector<float>{256, 1});
  with_each_engine([&] { CHECK(float(linear_forward(x, weight, full<float, Cpu>({1, 1}, 1.f)).data()[0]) == 258); });
}

TEMPLATE_TEST_CASE("a linear layer and its gradients equal their definition", "[linear]", float, double, bfloat16) {
  with_each_engine([] {
    for (const LinearCase& c : linear_cases) {
      INFO(c);
      for (const bool flag : {false, true}) {
        INFO("bias, accumulate " << flag);
        check_forward<TestType>(c, flag);
        check_backward<TestType>(c, flag);
      }
    }
  });
}

TEMPLATE_TEST_CASE("the gradient of a small weight is that of all rows, whatever parts these are summed in", "[linear]",
                   float, double, bfloat16) {
  with_each_engine([] {
    check_backward<TestType>(long_sums, false);
    check_backward<TestType>(long_sums, true);
  });
}

TEMPLATE_TEST_CASE("a linear layer gives the same bits on any number of threads", "[linear]", float, double, bfloat16) {
  with_each_engine([] {
    for (const LinearCase& c :
         {LinearCase{.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 130, .in = 700, .out = 90},
          LinearCase{.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 20, .in = 900, .out = 240},
          LinearCase{.members = 1, .weight_rows = 1, .bias_rows = 1, .batch = 1, .in = 900, .out = 300}, long_sums}) {
      INFO(c);
      CHECK(same_on_any_threads([&] { return results<TestType>(c); }));
    }
  });
}

TEMPLATE_TEST_CASE("a linear layer gives the same bits when repeated", "[linear]", float, double, bfloat16) {
  with_each_engine([] {
    const LinearCase c{.members = 2, .weight_rows = 1, .bias_rows = 2, .batch = 65, .in = 100, .out = 33};
    CHECK((results<TestType>(c) == results<TestType>(c)));
  });
}

// 1 + 127 x 2^-24: each term is lost when added to 1 alone, but 128 rows are summed apart from the rows before them.
TEST_CASE("the bias gradient sums runs of rows separately", "[linear]") {
  const std::int64_t batch = 128 * 128;
  Tensor<float, Cpu> dy = full<float, Cpu>({1, batch, 1}, 0x1p-24f);
  dy.data()[0] = 1;
  Gradient<float, Cpu> dbias{zeros<float, Cpu>({1, 1})};
  linear_backward_bias(dy, dbias);
  // 127 runs of 128 terms arrive whole; the first run's 127 small terms are rounded away.
  CHECK(dbias.tensor.data()[0] == 1 + 127 * 0x1p-17f);
}
