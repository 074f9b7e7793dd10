#include <lpw/nn/initializer.hpp>

#include "catch.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("he_normal has mean 0, variance 2 / fan_in and a normal's tails", "[initializer]") {
  nn::Initializer init(Philox{3});
  const std::int64_t fan_in = 64 * 9;
  const auto values = values_of(init.he_normal<float, Cpu>({1, 64, 3, 3, 64}, fan_in));
  const double n = static_cast<double>(values.size()), variance = 2.0 / fan_in;
  double sum = 0, square = 0, beyond = 0;
  for (const double v : values) {
    sum += v;
    square += v * v;
    beyond += std::abs(v) > 2 * std::sqrt(variance);
  }
  // Five standard deviations of each estimate; 4.55% of a normal lies beyond two standard deviations.
  CHECK(std::abs(sum / n) <= 5 * std::sqrt(variance / n));
  CHECK(std::abs(square / n / variance - 1) <= 5 * std::sqrt(2 / n));
  CHECK(std::abs(beyond / n - 0.0455) <= 5 * std::sqrt(0.0455 / n));
}

TEST_CASE("he_normal: every weight has numbers of its own, by seed and order alone", "[initializer]") {
  nn::Initializer init(Philox{3}), again(Philox{3}), other(Philox{4});
  const Shape shape{1, 50};
  const auto first = values_of(init.he_normal<float, Cpu>(shape, 1)),
             second = values_of(init.he_normal<float, Cpu>(shape, 1));
  CHECK(first != second);
  CHECK(values_of(again.he_normal<float, Cpu>(shape, 1)) == first);
  CHECK(values_of(again.he_normal<float, Cpu>(shape, 1)) == second);
  CHECK(values_of(other.he_normal<float, Cpu>(shape, 1)) != first);
}
