#include <lpw/cpu/ascent.hpp>

#include <limits>

#include "catch.hpp"
#include "support/ascent.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class T>
[[nodiscard]] AscentStore<T, Cpu> random_store(const Shape& shape, std::uint32_t key) {
  return {random_tensor<T>(shape, key), random_tensor<T>(shape, key + 1), full<T, Cpu>(shape, T(77))};
}

/// What the weights of both stores moved by.
template <class T>
[[nodiscard]] Perturbation perturbation(const AscentStore<T, Cpu>& base, const AscentStore<T, Cpu>& late,
                                        const Ascent& ascent) {
  const auto scale = ascent_scale(base, late, ascent);
  Perturbation result;
  const auto move = [&](const AscentStore<T, Cpu>& store, const Tensor<T, Cpu>& factor, std::vector<double>& moved) {
    if (store.weight.empty()) return;
    const auto before = clone(store.weight);
    ascend_weights(store, factor, ascent);
    CHECK(same_bits(store.kept, before));
    CHECK(same_bits(store.gradient, zeros<T, Cpu>(before.shape())));
    for (std::int64_t i = 0; i < before.size(); ++i)
      moved.push_back(double(store.weight.data()[i]) - double(before.data()[i]));
  };
  move(base, scale.rows(0, 1), result.base);
  if (!late.weight.empty()) move(late, scale.rows(1, late.weight.dim(0)), result.late);
  return result;
}

double dot(const std::vector<double>& a, const std::vector<double>& b, std::size_t first, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += a[first + i] * b[first + i];
  return sum;
}

}  // namespace

TEMPLATE_TEST_CASE("the ascent is the one that is written out, over both stores or one of them", "[optimizer]", float,
                   double) {
  for (const auto& [members, length] : {std::pair{1, 5}, std::pair{3, 4099}, std::pair{10, 64}, std::pair{1, 0}})
    for (const bool adaptive : {false, true})
      for (const int stores : {1, 2, 3}) {
        INFO("members " << members << " length " << length << " adaptive " << adaptive << " stores " << stores);
        const Ascent ascent{.rho = 0.5, .adaptive = adaptive, .eta = 0.2};
        const auto base = stores & 1 ? random_store<TestType>({1, 9001}, 1) : AscentStore<TestType, Cpu>{};
        const auto late = stores & 2 ? random_store<TestType>({members, length}, 3) : AscentStore<TestType, Cpu>{};
        const auto expected = write_out_ascent(base, late, ascent);
        const auto found = perturbation(base, late, ascent);
        // Sums in double; weights below 2 move by less than 1, which is rounded some five times.
        CHECK(largest_difference(found.base, expected.base) <= 4 * epsilon<TestType>());
        CHECK(largest_difference(found.late, expected.late) <= 4 * epsilon<TestType>());
      }
}

TEST_CASE("every member ascends by rho, and no ascent of that size gains more to first order", "[optimizer]") {
  constexpr std::size_t members = 3, base_size = 6, length = 4;
  const double rho = 0.3;
  auto base = random_store<double>({1, base_size}, 1), late = random_store<double>({members, length}, 3);
  for (std::size_t i = 0; i < length; ++i) late.gradient.row(2)[i] *= 5;  // members' gradients differ in size
  const auto base_gradient = values_of(base.gradient), late_gradient = values_of(late.gradient);
  const auto moved = perturbation(base, late, {.rho = rho});
  const auto gain = [&](const std::vector<double>& of_base, const std::vector<double>& of_late) {
    return dot(base_gradient, of_base, 0, base_size) + dot(late_gradient, of_late, 0, members * length);
  };
  for (std::size_t k = 0; k < members; ++k) {
    const double square = dot(moved.base, moved.base, 0, base_size) + dot(moved.late, moved.late, k * length, length);
    CHECK(std::abs(std::sqrt(square) - rho) <= 10 * epsilon<double>());  // sums of ten squares below rho^2
  }
  const double most = gain(moved.base, moved.late);
  double best = 0;
  for (std::uint32_t attempt = 0; attempt < 2000; ++attempt) {  // near the one found, and anywhere
    const double spread = attempt % 2 == 0 ? 0.05 : 10;
    const auto noise =
        values_of(normal_tensor<double>({base_size + members * length}, Philox(5, Stream::test, attempt)));
    auto other = moved;
    for (std::size_t i = 0; i < base_size; ++i) other.base[i] += spread * rho * noise[i];
    for (std::size_t i = 0; i < members * length; ++i) other.late[i] += spread * rho * noise[base_size + i];
    double shared = dot(other.base, other.base, 0, base_size);
    if (shared > rho * rho) {
      for (double& value : other.base) value *= rho / std::sqrt(shared) * 0.9;
      shared = 0.81 * rho * rho;
    }
    for (std::size_t k = 0; k < members; ++k) {
      const double own = std::sqrt(dot(other.late, other.late, k * length, length));
      for (std::size_t i = 0; i < length; ++i) other.late[k * length + i] *= std::sqrt(rho * rho - shared) / own;
    }
    best = std::max(best, gain(other.base, other.late));
  }
  CHECK(best <= most);
  CHECK(best >= 0.99 * most);  // those near it were near it
}

TEMPLATE_TEST_CASE("an ascent without a slope goes nowhere, and NaN is not lost", "[optimizer]", float, double) {
  auto base = random_store<TestType>({1, 7}, 1), late = random_store<TestType>({2, 5}, 3);
  fill(base.gradient, TestType(0));
  std::fill_n(late.gradient.row(1), 5, TestType(0));
  const auto before = clone(late.weight);
  const auto scale = ascent_scale(base, late, {.rho = 1});
  CHECK(scale.data()[2] == 0);
  ascend_weights(late, scale.rows(1, 2), {.rho = 1});
  CHECK(same_bits(late.weight.rows(1, 1), before.rows(1, 1)));
  CHECK(!same_values(late.weight.rows(0, 1), before.rows(0, 1)));
  fill(late.gradient, TestType(0));
  CHECK(same_values(ascent_scale(base, late, {.rho = 1}), zeros<TestType, Cpu>({3})));
  late.gradient.data()[1] = std::numeric_limits<TestType>::quiet_NaN();
  CHECK(std::isnan(double(ascent_scale(base, late, {.rho = 1}).data()[1])));
}

TEST_CASE("an ascent of a slope so slight that its factor is beyond a float goes nowhere", "[optimizer]") {
  auto base = random_store<float>({1, 7}, 1), late = random_store<float>({2, 5}, 3);
  fill(base.gradient, 0.f);
  base.gradient.data()[2] = 1e-30f;  // 1e40 is infinite, and that times a gradient of 0 is NaN
  CHECK(same_values(ascent_scale(base, {}, {.rho = 1e10}), zeros<float, Cpu>({1})));
  std::fill_n(late.gradient.row(1), 5, 0.f);
  late.gradient.row(1)[0] = 1e-30f;
  const auto scale = ascent_scale(base, late, {.rho = 1e10});
  CHECK(scale.data()[0] > 0);
  CHECK(scale.data()[1] > 0);
  CHECK(scale.data()[2] == 0);
  const auto before = clone(late.weight);
  ascend_weights(late, scale.rows(1, 2), {.rho = 1e10});
  CHECK(same_bits(late.weight.rows(1, 1), before.rows(1, 1)));
}

TEST_CASE("an ascent gives the same bits on any number of threads", "[optimizer]") {
  CHECK(same_on_any_threads([&] {
    const auto base = random_store<float>({1, 70001}, 1), late = random_store<float>({3, 30000}, 3);
    const auto moved = perturbation(base, late, {.rho = 0.1, .adaptive = true});
    return std::vector{moved.base, moved.late};
  }));
}
