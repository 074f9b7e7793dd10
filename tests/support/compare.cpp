// The comparisons that all other tests rest on: they pass what is equal and fail what is not, NaN and shapes that
// differ among it.
#include "support/compare.hpp"

#include <limits>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"
#include "support/sums.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 unbounded = std::numeric_limits<double>::infinity();

/// None of the comparisons with a number holds.
bool fails_whatever_the_tolerance(const Worst& worst) {
  return !(worst <= unbounded) && !(worst < unbounded) && !(worst > -1) && !(worst >= -1) &&
         worst.beyond(unbounded) != "";
}

/// By each function that compares with a tolerance.
template <class A, class B>
std::vector<Worst> by_each(const A& found, const B& expected) {
  return {largest_difference(found, expected), distance(found, expected), relative_difference(found, expected)};
}

Tensor<double, Cpu> row(std::vector<double> values) { return tensor_of<double>({1, std::ssize(values)}, values); }

}  // namespace

TEST_CASE("comparisons of what is equal find no difference", "[support]") {
  for (const auto& values : {std::vector{0.0, -2.0, 3.5}, std::vector{0.0}, std::vector<double>()}) {
    for (const Worst& worst : by_each(values, values)) {
      CHECK(worst <= 0);
      CHECK(worst.beyond(0) == "");
      CHECK(worst.where() == "");
    }
    CHECK(same_values(values, values));
  }
  const auto a = row({1, 2, 3});
  for (const Worst& worst : by_each(a, converted<float>(a))) CHECK(worst <= 0);
  CHECK(same_bits(a, clone(a)));
  CHECK(relative_norm(a, a) == 0);
}

TEST_CASE("comparisons say the worst place and both values", "[support]") {
  const std::vector found{1.0, 2.5, -4.0}, expected{1.0, 2.0, -3.0};
  CHECK(to_text(largest_difference(found, expected)) == "1 (element 2: found -4, expected -3)");
  CHECK(to_text(distance(found, expected)) == "0.25 (element 2: found -4, expected -3, compared with 4)");
  CHECK(to_text(relative_difference(found, std::vector{1.0, 2.0, -8.0})) ==
        "0.5 (element 2: found -4, expected -8, compared with 8)");
  CHECK(largest_difference(found, expected) <= 1);
  CHECK(largest_difference(found, expected) > 0.5);
  CHECK_FALSE(largest_difference(found, expected) <= 0.5);
  CHECK(largest_difference(found, expected).beyond(0.5) == "1 (element 2: found -4, expected -3)");
  CHECK(largest_magnitude(found) == 4);
  CHECK(relative_norm(std::vector{3.0, 4.0}, std::vector{0.0, 4.0}) == 0.75);

  Worst all;
  all.add(difference(1, 2), "first");
  all.add(difference(1, 5), "second");
  all.add(difference(1, 3), "third");
  CHECK(to_text(all) == "4 (second, element 0: found 1, expected 5)");
  Worst named;
  named.add(7, 1, 2, 1, "dx");
  CHECK(named.where() == "dx[7]: found 1, expected 2");
}

TEST_CASE("NaN on either side or both fails every tolerance, wherever it stands", "[support]") {
  const std::vector plain{1.0, 2.0, 3.0};
  for (std::size_t at = 0; at < plain.size(); ++at) {
    auto bad = plain;
    bad[at] = not_a_number;
    const auto good = std::vector{1.0, 2.0, 100.0};  // NaN counts before and after a large difference
    for (const auto& [found, expected] :
         {std::pair(bad, plain), std::pair(plain, bad), std::pair(bad, bad), std::pair(bad, good)}) {
      for (const Worst& worst : by_each(found, expected)) CHECK(fails_whatever_the_tolerance(worst));
      for (const Worst& worst : by_each(row(found), row(expected))) CHECK(fails_whatever_the_tolerance(worst));
      CHECK(std::isnan(relative_norm(found, expected)));
      CHECK_FALSE(same_values(found, expected));
    }
    CHECK(contains(largest_difference(bad, good).where(), to_text("element ", at, ": found nan")));
    CHECK(std::isnan(largest_magnitude(bad)));

    Expected sums(3);
    for (std::int64_t i = 0; i < 3; ++i) sums.add(i, plain[static_cast<std::size_t>(i)]);
    CHECK(mismatch<double>(row(plain), sums) == "");
    CHECK(contains(mismatch<double>(row(bad), sums), to_text("element ", at, ": found nan, expected ", plain[at])));
    sums.add(static_cast<std::int64_t>(at), not_a_number);
    CHECK(mismatch<double>(row(plain), sums) != "");
  }
  for (const auto& [found, expected] :
       {std::pair(not_a_number, 1.0), std::pair(1.0, not_a_number), std::pair(not_a_number, not_a_number)})
    CHECK(fails_whatever_the_tolerance(difference(found, expected)));
  Worst all;
  all.add(difference(not_a_number, 1), "first");
  all.add(difference(1, 5), "second");
  CHECK(fails_whatever_the_tolerance(all));
}

TEST_CASE("infinity is equal to nothing under a tolerance, and to itself as a value", "[support]") {
  const std::vector found{unbounded}, expected{1.0};
  CHECK(largest_difference(found, expected) > 1e300);
  for (const Worst& worst : by_each(found, found)) CHECK(fails_whatever_the_tolerance(worst));
  CHECK(same_values(found, found));
  CHECK_FALSE(same_values(found, std::vector{-unbounded}));
}

TEST_CASE("shapes that differ fail every tolerance and say both", "[support]") {
  const auto wide = tensor_of<double>({2, 3}, std::vector<double>(6)),
             high = tensor_of<double>({3, 2}, std::vector<double>(6));
  for (const Worst& worst : by_each(wide, high)) CHECK(fails_whatever_the_tolerance(worst));
  for (const Worst& worst : by_each(std::vector{1.0}, std::vector{1.0, 1.0}))
    CHECK(fails_whatever_the_tolerance(worst));
  CHECK(largest_difference(wide, high).where() == "found [2 3], expected [3 2]");
  CHECK(largest_difference(std::vector{1.0}, std::vector{1.0, 1.0}).where() == "found 1 elements, expected 2");
  CHECK(std::isnan(relative_norm(wide, high)));
  CHECK_FALSE(same_values(wide, high));
  CHECK_FALSE(same_bits(wide, high));
  CHECK(to_text(same_bits(wide, high)) == "found [2 3], expected [3 2]");
}

TEST_CASE("equality of bits takes a NaN for itself and tells 0 from -0, that of values may take NaN for NaN",
          "[support]") {
  const auto a = row({0, not_a_number}), other = row({-0.0, not_a_number});
  CHECK(same_bits(a, clone(a)));
  CHECK(to_text(same_bits(a, other)) == "element 0: found 0, expected -0, not the same bits");
  CHECK_FALSE(same_bits(row({not_a_number}), row({-not_a_number})));
  CHECK_FALSE(same_bits(row({not_a_number}), row({1})));
  CHECK_FALSE(same_values(a, a));
  CHECK(same_values(a, other, Nan::equals_nan));
  for (const auto& [found, expected] : {std::pair(not_a_number, 1.0), std::pair(1.0, not_a_number)})
    CHECK_FALSE(same_values(row({found}), row({expected}), Nan::equals_nan));
  CHECK(to_text(same_values(row({1, 2}), row({1, 3}))) == "element 1: found 2, expected 3");
}

TEST_CASE("strided tensors and narrow types are compared by their values", "[support]") {
  // Between the rows nothing is compared.
  auto store = full<float, Cpu>({2, 5}, std::numeric_limits<float>::quiet_NaN());
  auto view = store.columns(1, {3});
  fill(view, 0.5f);
  const auto packed = full<float, Cpu>({2, 3}, 0.5f);
  CHECK(same_bits(view, packed));
  CHECK(same_values(view, converted<bfloat16>(packed)));
  CHECK(distance(converted<half>(view), packed) <= 0);
  view.row(1)[2] = 1;
  CHECK(to_text(same_bits(view, packed)) == "element 5: found 1, expected 0.5, not the same bits");
}

TEST_CASE("states of networks are equal to the bit, NaN and all", "[support]") {
  SmallNet<double> network;
  network.last.weight.value().data()[0] = not_a_number;
  const auto before = state_of(network);
  CHECK(state_of(network) == before);
  network.last.weight.value().data()[0] = 0;
  CHECK_FALSE(state_of(network) == before);
}
