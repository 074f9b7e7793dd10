#include <lpw/cpu/group_norm.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct GroupCase {
  Shape x;  // [K, S, ..., C]
  std::int64_t groups, rows;
};

const GroupCase group_cases[] = {{{1, 1, 1}, 1, 1},       {{1, 9, 7}, 1, 1},       {{3, 4, 33}, 1, 3},
                                 {{2, 3, 4, 5, 6}, 3, 1}, {{2, 3, 4, 5, 6}, 2, 2}, {{2, 2, 30, 30, 4}, 2, 2},
                                 {{1, 40, 2, 2, 8}, 8, 1}};

/// y and all gradients, each of which is added to what was there or not.
template <class T>
struct GroupNormResults {
  using W = Accumulate<T>;
  Tensor<T, Cpu> y;
  Gradient<W, Cpu> dgamma, dbeta;
  Gradient<T, Cpu> dx;

  /// Operands rounded to bfloat16 in every type.
  GroupNormResults(const GroupCase& c, bool accumulate)
      : dgamma{parameter(c, 4), accumulate}, dbeta{parameter(c, 5), accumulate}, dx{values<T>(c.x, 6), accumulate} {
    auto forward = group_norm_forward(values<T>(c.x, 1), parameter(c, 2), parameter(c, 3), c.groups, 1e-2);
    y = forward.y;
    group_norm_backward(forward.saved, parameter(c, 2), values<T>(c.x, 7), &dgamma, &dbeta, &dx);
  }

 private:
  template <class V>
  [[nodiscard]] static Tensor<V, Cpu> values(const Shape& shape, std::uint32_t key) {
    return converted<V>(random_tensor<bfloat16>(shape, key));
  }
  [[nodiscard]] static Tensor<W, Cpu> parameter(const GroupCase& c, std::uint32_t key) {
    auto rows = random_parameter<W>({c.rows, c.x[-1]}, true, key);
    copy(values<W>(rows.shape(), key), rows);
    return rows;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("group norm: float and bfloat16 round what double gives", "[group_norm]", float, bfloat16) {
  for (const GroupCase& c : group_cases)
    for (const bool accumulate : {false, true}) {
      INFO("x " << c.x << " groups " << c.groups << " rows " << c.rows << " accumulate " << accumulate);
      const GroupNormResults<TestType> found(c, accumulate);
      const GroupNormResults<double> expected(c, accumulate);
      // Twenty roundings in float of values of up to 6, which are rounded to T, and of sums of 128 places in float,
      // which add up as their square root.
      const double tolerance = (20 + std::sqrt(128.0)) * epsilon<float>() + 2 * epsilon<TestType>();
      CHECK(distance(found.y, expected.y) <= tolerance);
      CHECK(distance(found.dx.tensor, expected.dx.tensor) <= tolerance);
      CHECK(distance(found.dgamma.tensor, expected.dgamma.tensor) <= 400 * epsilon<float>());
      CHECK(distance(found.dbeta.tensor, expected.dbeta.tensor) <= 400 * epsilon<float>());
      CHECK((gaps_untouched(found.dgamma.tensor) && gaps_untouched(found.dbeta.tensor)));
    }
}

TEST_CASE("group norm: gradients that are not wanted leave the others as they are", "[group_norm]") {
  const auto x = random_tensor<float>({2, 3, 4, 6}, 1), dy = random_tensor<float>(x.shape(), 2);
  const auto gamma = random_tensor<float>({2, 6}, 3);
  const auto saved = group_norm_forward(x, gamma, gamma, 2, 1e-5).saved;
  const auto run = [&](bool with_gamma, bool with_beta, bool with_x) {
    Gradient<float, Cpu> dgamma{zeros<float, Cpu>({2, 6})}, dbeta{zeros<float, Cpu>({2, 6})},
        dx{zeros<float, Cpu>(x.shape())};
    group_norm_backward(saved, gamma, dy, with_gamma ? &dgamma : nullptr, with_beta ? &dbeta : nullptr,
                        with_x ? &dx : nullptr);
    return std::vector{values_of(dgamma.tensor), values_of(dbeta.tensor), values_of(dx.tensor)};
  };
  const auto all = run(true, true, true);
  for (std::size_t one = 0; one < 3; ++one) {
    CHECK(run(one == 0, one == 1, one == 2)[one] == all[one]);
    CHECK(largest_magnitude(all[one]) > 0.1);
  }
}
