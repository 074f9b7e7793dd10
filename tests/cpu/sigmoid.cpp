#include <lpw/cpu/base/sigmoid.hpp>

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The largest relative error of a float function against its double overload, over numbers of all magnitudes up to
/// `largest`.
template <class F>
Worst worst_relative_error(F f, double largest) {
  Worst worst;
  for (int i = 0; i < 200000; ++i)
    for (const double sign : {-1.0, 1.0}) {
      const float x = static_cast<float>(sign * largest * std::pow(1e-6, i / 200000.0));
      const double expected = f(static_cast<double>(x));
      worst.add(i, static_cast<double>(f(x)), expected, std::abs(expected));
    }
  return worst;
}

}  // namespace

TEST_CASE("sigmoid and tanh of float are those of double", "[sigmoid]") {
  // A division, a product and a sum around an exponential of some 2 epsilon.
  CHECK(worst_relative_error([](auto x) { return sigmoid(x); }, 80) <= 4 * epsilon<float>());
  CHECK(worst_relative_error([](auto x) { return hyperbolic_tangent(x); }, 20) <= 4 * epsilon<float>());
}

TEST_CASE("sigmoid and tanh at the ends", "[sigmoid]") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(sigmoid(0.f) == 0.5f);
  CHECK(sigmoid(infinity) == 1.f);
  CHECK(sigmoid(-infinity) == 0.f);
  CHECK(sigmoid(-88.f) == 0.f);
  CHECK(sigmoid(-1e30f) == 0.f);
  CHECK(std::abs(double(sigmoid(-87.f)) - std::exp(-87.0)) <= 4 * epsilon<float>() * std::exp(-87.0));
  CHECK(std::abs(double(sigmoid(-87.6f)) - std::exp(double(-87.6f))) <= 1e-44);  // a number without all its digits
  CHECK(sigmoid(1e30f) == 1.f);
  CHECK(std::isnan(sigmoid(nan)));
  CHECK(hyperbolic_tangent(0.f) == 0.f);
  CHECK(hyperbolic_tangent(infinity) == 1.f);
  CHECK(hyperbolic_tangent(-infinity) == -1.f);
  CHECK(hyperbolic_tangent(-1e30f) == -1.f);
  CHECK(std::isnan(hyperbolic_tangent(nan)));
}

TEST_CASE("the exponential of negative floats is that of double, and 0 at its end", "[sigmoid]") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(worst_relative_error([](auto x) { return exp_of_negative(-std::abs(x)); }, 86) <= 3 * epsilon<float>());
  CHECK(exp_of_negative(0.f) == 1.f);
  CHECK(exp_of_negative(-87.f) > 0.f);
  CHECK(exp_of_negative(-87.5f) == 0.f);
  CHECK(exp_of_negative(-infinity) == 0.f);
  CHECK(std::isnan(exp_of_negative(nan)));
}
