#include <lpw/autograd/dropout.hpp>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

TapeOptions training(MemberRange members = {}, std::uint32_t step = 0) {
  return {.members = members, .random = Philox(7, Stream::dropout, step)};
}

/// Dropout of ones: 1 / (1 - rate) where the mask keeps, else 0.
std::vector<double> mask_of(const Shape& shape, double rate, const TapeOptions& options = training()) {
  const Tape tape(options);
  return values_of(dropout(tape.input(full<double, Cpu>(shape, 1.0)), rate).value());
}

}  // namespace

// The mask is a function of the tape's options, so every call of the operation draws the same.
TEST_CASE("dropout: gradient under its mask", "[dropout]") {
  expect_gradient(
      "dropout", [](const auto& in) { return dropout(in[0], 0.4); }, random_inputs({{3, 2, 7}}), training());
  const auto two_masks = [](const auto& in) { return dropout(dropout(in[0], 0.4), 0.3); };
  expect_gradient("two dropouts", two_masks, random_inputs({{3, 2, 7}}), training());
}

TEST_CASE("dropout: zeroes with its rate and scales the rest", "[dropout]") {
  for (const double rate : {0.1, 0.5, 0.9}) {
    INFO("rate " << rate);
    const std::int64_t size = 100000;
    std::int64_t zero = 0, other = 0;
    for (const double value : mask_of({1, size}, rate)) {
      zero += value == 0;
      other += value != 0 && !(std::abs(value * (1 - rate) - 1) <= 2 * epsilon<double>());
    }
    CHECK(other == 0);
    // Five standard deviations of a binomial: a right implementation fails for one seed in a million; this one is
    // fixed.
    CHECK(std::abs(double(zero) / double(size) - rate) <= 5 * std::sqrt(rate * (1 - rate) / double(size)));
  }
}

TEST_CASE("dropout: the same bits on any number of threads", "[dropout]") {
  CHECK(same_on_any_threads([] { return mask_of({3, 1001}, 0.3); }));
}

TEST_CASE("dropout: a member's mask does not depend on how members are chunked", "[dropout]") {
  const auto whole = mask_of({4, 3, 5}, 0.5), chunk = mask_of({2, 3, 5}, 0.5, training({.first = 1, .count = 2}));
  CHECK(chunk == std::vector<double>(whole.begin() + 15, whole.begin() + 45));
}

TEST_CASE("dropout: a part of a minibatch has the masks that its samples have in the whole", "[dropout]") {
  for (const std::int64_t steps : {1, 3})
    for (const std::int64_t sample : {1, 4, 7})
      for (const auto& [before, count] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 1}, {3, 5}}) {
        CAPTURE(steps, sample, before, count);
        TapeOptions options = training();
        options.part = {.count = count, .before = before, .whole = 8, .steps = steps};
        const auto whole = mask_of({1, steps, 8, sample}, 0.5);
        std::vector<double> expected;
        for (std::int64_t step = 0; step < steps; ++step) {
          const auto first = whole.begin() + (step * 8 + before) * sample;
          expected.insert(expected.end(), first, first + count * sample);
        }
        CHECK(mask_of({1, steps, count, sample}, 0.5, options) == expected);
        CHECK(mask_of({1, steps * count, sample}, 0.5, options) == expected);
      }
  TapeOptions options = training();
  options.part = {.count = 3, .before = 4, .whole = 8};
  CHECK(mask_of({1, 64}, 0.5, options) == mask_of({1, 64}, 0.5));  // of no samples: alike in all parts
}

TEST_CASE("dropout: members, calls of a pass and steps have masks of their own", "[dropout]") {
  const Shape shape{2, 64};
  const auto mask = mask_of(shape, 0.5);
  CHECK(std::vector<double>(mask.begin(), mask.begin() + 64) != std::vector<double>(mask.begin() + 64, mask.end()));
  CHECK(mask_of(shape, 0.5, training({}, 1)) != mask);
  CHECK(mask_of(shape, 0.5) == mask);

  Tape tape(training());
  const auto ones = tape.input(full<double, Cpu>(shape, 1.0));
  CHECK(values_of(dropout(ones, 0.5).value()) == mask);
  CHECK(values_of(dropout(ones, 0.5).value()) != mask);
  tape.clear();  // a new pass counts its calls from the start
  CHECK(values_of(dropout(tape.input(full<double, Cpu>(shape, 1.0)), 0.5).value()) == mask);
}

TEST_CASE("dropout: is the identity outside of training and at rate 0", "[dropout]") {
  const auto x = random_tensor<float>({2, 9}, 1);
  for (const Mode mode : {Mode::evaluation, Mode::statistics}) {
    const Tape tape({.mode = mode});
    CHECK(dropout(tape.input(x), 0.5).value().data() == x.data());
  }
  const Tape tape(training());
  CHECK(dropout(tape.input(x), 0).value().data() == x.data());
}

TEST_CASE("dropout: rates that cannot work", "[dropout]") {
  const Tape tape(training());
  const auto x = tape.input(random_tensor<float>({2, 9}, 1));
  for (const double rate : {-0.1, 1.0, std::nan("")}) CHECK_THROWS_AS(dropout(x, rate), OptionError);
  CHECK_THROWS_WITH(dropout(x, 1), "dropout: rate 1 is outside [0, 1)");
}
