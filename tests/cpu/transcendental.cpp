#include <lpw/cpu/base/functions.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "catch.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The distance of neighbouring floats at a number, or about `least` where that is larger.
double unit_at(double value, double least) {
  const auto magnitude = static_cast<float>(std::hypot(value, least));
  if (magnitude < std::numeric_limits<float>::min()) return std::numeric_limits<float>::denorm_min();
  return std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

/// The largest error of f in units in the last place of what it should be, or of `least`, over floats of all exponents
/// and both signs, denormal ones too, from `first` to `last`. What should be infinite or NaN must be just that.
template <class F, class G>
Worst worst_units(const F& f, const G& expected_of, double first = -INFINITY, double last = INFINITY,
                  double least = 0) {
  Worst worst;
  for (std::int64_t bits = 0; bits < std::int64_t{1} << 32; bits += 16381) {  // 262,000 of all
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!(double(x) >= first && double(x) <= last) && !std::isnan(x)) continue;
    const double expected = expected_of(static_cast<double>(x));
    const float found = f(x);
    const auto rounded = static_cast<float>(expected);
    if (std::isfinite(rounded))
      worst.add(bits, double(found), expected, unit_at(expected, least));
    else if (std::isnan(rounded) ? !std::isnan(found) : found != rounded)
      worst.refuse(to_text("f(", x, ") is ", found, ", expected ", rounded));
  }
  return worst;
}

}  // namespace

TEST_CASE("exp and log of any float are those of double", "[functions]") {
  CHECK(worst_units([](float x) { return exponential(x); }, [](double x) { return std::exp(x); }) <= 1.5);
  CHECK(worst_units([](float x) { return logarithm(x); }, [](double x) { return std::log(x); }) <= 1.5);
  CHECK(exponential(88.72283f) > 3.4e38f);
  CHECK(exponential(88.72284f) == std::numeric_limits<float>::infinity());
  CHECK(exponential(-103.97f) == std::numeric_limits<float>::denorm_min());
  CHECK(exponential(-103.98f) == 0.f);
  CHECK(exponential(0.f) == 1.f);
  CHECK(logarithm(1.f) == 0.f);
  CHECK(logarithm(-0.f) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("sigmoid and tanh of any float are those of double", "[functions]") {
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  CHECK(worst_units([](float x) { return sigmoid(x); }, logistic, -87.6) <= 3);  // below it is 0: sigmoid.hpp
  CHECK(worst_units([](float x) { return hyperbolic_tangent(x); }, [](double x) { return std::tanh(x); }) <= 4);
}

TEST_CASE("GELU and SiLU of any float are those of double, with tails of small relative error", "[functions]") {
  const auto normal = [](double x) { return std::erfc(x * -std::sqrt(0.5)) / 2; };
  const auto gelu = [&](double x) { return x * normal(x); };  // NaN at -infinity, as PyTorch's
  CHECK(worst_units([](float x) { return normal_distribution(x); }, normal) <= 6);
  CHECK(worst_units([](float x) { return detail::function_at<Function::gelu>(x); }, gelu, -13) <= 6);
  CHECK(worst_units([](float x) { return detail::function_at<Function::gelu>(x); }, gelu) <= 8);  // of a denormal tail
  // SiLU is x times the logistic function; of GELU's tanh form its argument, rounded, is an exponent up to 87.
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  CHECK(worst_units([](float x) { return detail::function_at<Function::silu>(x); }, silu, -87.6) <= 4);
  const auto by_tanh = [](double x) { return x / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * x * x * x))); };
  CHECK(worst_units([](float x) { return detail::function_at<Function::gelu_tanh>(x); }, by_tanh, -9) <= 200);
  CHECK(worst_units([](float x) { return detail::function_at<Function::gelu_tanh>(x); }, by_tanh, -1) <= 6);
  // The slope has a zero at -0.75, around which it is exact to what it is made of.
  const auto slope = [&](double x) { return normal(x) + x * std::exp(-x * x / 2) / std::sqrt(8 * std::atan(1.0)); };
  CHECK(worst_units([](float x) { return normal_slope(x); }, slope, -1e30, 1e30, 0.25) <= 6);
  CHECK(worst_units([](float x) { return normal_slope(x); }, slope, -1e30, -1.5) <= 8);
}
