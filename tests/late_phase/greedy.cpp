// The greedy choice of members, beside the loop written out.
#include <lpw/late_phase/greedy.hpp>

#include <algorithm>
#include <limits>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

using lpw::choose_members;
using lpw::Philox;
using lpw::test::message_of;

namespace {

/// Members as points in a plane, whose average is the better the nearer it is to the origin.
struct Points {
  std::vector<double> x, y;
  [[nodiscard]] double quality(std::vector<std::size_t> chosen) const {
    std::sort(chosen.begin(), chosen.end());  // sums do not depend on the order in which they were taken
    double sum_x = 0, sum_y = 0;
    for (const std::size_t k : chosen) sum_x += x[k], sum_y += y[k];
    const auto count = static_cast<double>(chosen.size());
    return -(sum_x * sum_x + sum_y * sum_y) / (count * count);
  }
  [[nodiscard]] double quality_of(const std::vector<double>& coefficients) const {
    std::vector<std::size_t> chosen;
    for (std::size_t k = 0; k < coefficients.size(); ++k)
      if (coefficients[k] > 0) chosen.push_back(k);
    for (const std::size_t k : chosen) CHECK(coefficients[k] == 1.0 / static_cast<double>(chosen.size()));
    return quality(chosen);
  }
};

}  // namespace

TEST_CASE("the greedy choice is that of the loop written out") {
  for (std::uint32_t draw = 0; draw < 50; ++draw) {
    CAPTURE(draw);
    const Philox random(3, lpw::Stream::test, draw);
    Points points;
    std::vector<double> alone;
    for (std::size_t k = 0; k < 7; ++k) {
      points.x.push_back(random.normal(2 * k)), points.y.push_back(random.normal(2 * k + 1));
      alone.push_back(points.quality({k}));
    }
    std::vector<bool> tried(7, false);
    std::vector<std::size_t> chosen;
    double best = -std::numeric_limits<double>::infinity();
    for (int round = 0; round < 7; ++round) {
      std::size_t next = 7;
      for (std::size_t k = 0; k < 7; ++k)
        if (!tried[k] && (next == 7 || alone[k] > alone[next])) next = k;
      tried[next] = true;
      auto with = chosen;
      with.push_back(next);
      if (points.quality(with) >= best) chosen = with, best = points.quality(with);
    }
    const auto found = choose_members(alone, [&](const auto& a) { return points.quality_of(a); });
    CHECK(found.quality == best);
    REQUIRE(found.members.size() == chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) CHECK(found.members[i] == static_cast<std::int64_t>(chosen[i]));
  }
}

TEST_CASE("members that make the average no worse are taken, and those with a quality of NaN never") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto all = choose_members({0.5, 0.5, 0.5}, [](const auto&) { return 0.5; });
  CHECK(all.members == std::vector<std::int64_t>{0, 1, 2});
  const auto one = choose_members({nan, 0.25, nan, 0.5}, [&](const auto& a) { return a[3] == 1 ? 0.5 : nan; });
  CHECK(one.members == std::vector<std::int64_t>{3});
  CHECK(one.coefficients == std::vector<double>{0, 0, 0, 1});
  const auto last = choose_members({nan, 0.25}, [&](const auto& a) { return a[0] > 0 ? nan : 0.25; });
  CHECK(last.members == std::vector<std::int64_t>{1});
  CHECK(message_of<lpw::OptionError>([] { (void)choose_members({}, [](const auto&) { return 0.0; }); }) ==
        "choose_members: there are no members");
}
