#include <lpw/autograd/embedding.hpp>

#include <lpw/autograd/templates.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

Tensor<std::int32_t, Cpu> indices_of(const Shape& shape, std::vector<std::int32_t> values) {
  return tensor_of<std::int32_t>(shape, values);
}

/// Of two members, three steps of two streams, below 4; each row of the table is there, but for member 0's row 2
/// and member 1's row 3.
const auto places = indices_of({2, 3, 2}, {0, 3, 3, 3, 1, 0, 2, 2, 0, 0, 1, 2});

[[nodiscard]] Variable<std::int32_t, Cpu> beside(const DoubleVariable& x) {
  return Variable<std::int32_t, Cpu>({places}, x.recording(), -1);
}

/// Rows of the table, of r and of s.
struct FactorRows {
  std::int64_t weight, r, s;
};
const std::vector<FactorRows> factor_rows{{1, 2, 2}, {1, 1, 2}, {1, 2, 1}, {1, 1, 1}, {2, 2, 2}, {2, 1, 1}};

}  // namespace

TEST_CASE("embedding: gradients", "[embedding]") {
  for (const std::int64_t rows : {1, 2})
    expect_gradient(
        "embedding", [&](const auto& in) { return embedding<double>(beside(in[0]), in[0]); },
        random_inputs({{rows, 4, 3}}));
}

TEST_CASE("embedding: gradients of a table with rank-1 factors", "[embedding]") {
  for (const auto& [weight, r, s] : factor_rows) {
    INFO("rows of the weight " << weight << ", of r " << r << ", of s " << s);
    expect_gradient(
        "embedding with factors",
        [&](const auto& in) {
          const MemberWeight<double, Cpu> table{in[0], RankOneFactors<double, Cpu>{in[1], in[2]}};
          return embedding<double>(beside(in[0]), table);
        },
        random_inputs({{weight, 4, 3}, {r, 4}, {s, 3}}));
  }
}

TEST_CASE("embedding: gradients of a table made of templates, which backward does not make again", "[embedding]") {
  for (const std::int64_t coefficients : {1, 2})
    for (const std::int64_t parts : {1, 2}) {
      INFO("rows of coefficients " << coefficients << ", parts " << parts);
      expect_gradient(
          "embedding of templates",
          [&](const auto& in) {
            MemberWeight<double, Cpu> table{combine_templates(in[0], in[1], {4, 6})};
            table.remake = []() -> DoubleTensor { fail<Error>("the table was made again"); };
            return embedding<double>(beside(in[0]), table);
          },
          random_inputs({{coefficients, parts, 3}, {1, 3, 4, 6 / parts}}));
    }
}

TEST_CASE("embedding: backward keeps no table that was made for forward", "[embedding]") {
  constexpr std::int64_t vocabulary = 64, features = 256;
  const auto coefficients = random_tensor<float>({1, 1, 3}, 1), templates = random_tensor<float>({1, 3, 64, 256}, 2);
  auto dcoefficients = zeros<float, Cpu>(coefficients.shape()), dtemplates = zeros<float, Cpu>(templates.shape());
  Tape tape;
  const auto c = tape.leaf(coefficients, dcoefficients), t = tape.leaf(templates, dtemplates);
  const auto symbols = tape.input(indices_of({1, 2}, {5, 63}));
  const std::size_t before = cpu_pool().usage().used;
  const auto y = [&] { return embedding<float>(symbols, combine_templates(c, t, {vocabulary, features})); }();
  const std::size_t table = vocabulary * features * sizeof(float), result = 2 * features * sizeof(float);
  CHECK(cpu_pool().usage().used - before <= result + table / 2);  // what the pool rounds up to has room, no table
  backward_of_sum(tape, y);
  CHECK(largest_magnitude(dcoefficients) > 0);
}

TEST_CASE("embedding: member k's row i with factors is r_k[i] s_k o W[i]", "[embedding]") {
  for (const auto& [weight_rows, r_rows, s_rows] : factor_rows)
    for (const bool strided : {false, true}) {
      CAPTURE(weight_rows, r_rows, s_rows, strided);
      const auto weight = random_parameter<double>({weight_rows, 4, 3}, strided, 1),
                 r = random_parameter<double>({r_rows, 4}, strided, 2),
                 s = random_parameter<double>({s_rows, 3}, strided, 3);
      const Tape tape;
      const MemberWeight<double, Cpu> table{tape.input(weight),
                                            RankOneFactors<double, Cpu>{tape.input(r), tape.input(s)}};
      const auto y = embedding<double>(tape.input(places), table);
      REQUIRE(y.shape() == Shape{2, 3, 2, 3});
      Tensor<double, Cpu> expected(y.shape());
      for (std::int64_t i = 0; i < expected.size(); ++i) {
        const std::int64_t k = i / 18, feature = i % 3, row = places.data()[i / 3];
        expected.data()[i] =
            member_row(weight, k)[row * 3 + feature] * member_row(r, k)[row] * member_row(s, k)[feature];
      }
      CHECK(distance(y.value(), expected) <= 2 * epsilon<double>());  // two products of numbers below 1
    }
}

TEST_CASE("embedding: values, and shapes and indices that do not fit", "[embedding]") {
  const Tape tape;
  const auto weight = tape.input(random_tensor<float>({1, 4, 3}, 1));
  const auto y = embedding<float>(tape.input(indices_of({1, 2}, {3, 1})), weight);
  CHECK(y.shape() == Shape{1, 2, 3});
  CHECK(values_of(y.value())[0] == values_of(weight.value())[9]);

  const auto at = [&](const Shape& shape, std::vector<std::int32_t> values) {
    return tape.input(indices_of(shape, std::move(values)));
  };
  CHECK_THROWS_WITH(embedding<float>(at({2, 3}, {0, 1, 2, 3, 4, 0}), weight),
                    "embedding: index 4 of member 1, position 1 is outside [0, 4)");
  CHECK_THROWS_WITH(embedding<float>(at({1, 1}, {-1}), weight),
                    "embedding: index -1 of member 0, position 0 is outside [0, 4)");
  CHECK_THROWS_AS(embedding<float>(at({1}, {0}), weight), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({3, 1}, {0, 0, 0}), tape.input(zeros<float, Cpu>({2, 4, 3}))), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({1, 1}, {0}), tape.input(zeros<float, Cpu>({4, 3}))), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({1, 0}, {}), weight), ShapeError);

  const auto with_factors = [&](const Shape& r, const Shape& s) {
    const MemberWeight<float, Cpu> table{
        weight, RankOneFactors<float, Cpu>{tape.input(zeros<float, Cpu>(r)), tape.input(zeros<float, Cpu>(s))}};
    return embedding<float>(at({3, 1}, {0, 0, 0}), table).shape();
  };
  CHECK(with_factors({3, 4}, {1, 3}) == Shape{3, 1, 3});
  CHECK_THROWS_WITH(with_factors({3, 3}, {3, 3}),
                    "embedding: rank-1 factors r [K=3 O=3] and s [K=3 C=3] of a weight [1 4 3]; expected r [1 or K, 4] "
                    "and s [1 or K, 3]");
  CHECK_THROWS_AS(with_factors({3, 4}, {3, 4}), ShapeError);
  CHECK_THROWS_AS(with_factors({2, 4}, {3, 3}), ShapeError);
  CHECK_THROWS_AS(with_factors({3, 4}, {2, 3}), ShapeError);
}
