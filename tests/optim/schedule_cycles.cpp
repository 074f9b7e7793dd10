// Schedules by iteration: cycles, warm-up and one cycle against their papers' formulas at every step, where cycles end,
// and what epochs and iterations have to do with each other.
#include <lpw/optim/schedule.hpp>

#include <cmath>
#include <numbers>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

using lpw::optim::cycles_done;
using lpw::optim::ends_cycle;
using lpw::optim::expand_schedule;
using lpw::optim::factor;
using lpw::optim::has_cycles;
using lpw::optim::parse_schedule;
using lpw::optim::Schedule;
using lpw::optim::SchedulePiece;
using lpw::optim::Time;
using lpw::test::difference;

namespace {

constexpr double pi = std::numbers::pi;
constexpr double roundings = 2e-15;  // factors of order 1, a few roundings, of a cosine's argument too

/// The times of all steps of some epochs of so many iterations, and the time after the last.
std::vector<Time> times_of(std::int64_t epochs, std::int64_t iterations) {
  std::vector<Time> times;
  for (std::int64_t step = 0; step < epochs * iterations; ++step)
    times.push_back({step / iterations, step % iterations, iterations, step});
  times.push_back({epochs - 1, iterations, iterations, epochs * iterations});
  return times;
}

/// The steps, counted from 1, that a cycle ends with.
std::vector<std::int64_t> ends_of(const Schedule& schedule, const std::vector<Time>& times) {
  std::vector<std::int64_t> ends;
  for (std::size_t i = 1; i < times.size(); ++i)
    if (ends_cycle(schedule, times[i - 1], times[i])) ends.push_back(static_cast<std::int64_t>(i));
  return ends;
}

std::vector<std::int64_t> multiples(std::int64_t length, std::int64_t last, std::int64_t first) {
  std::vector<std::int64_t> all;
  for (std::int64_t step = first; step <= last; step += length) all.push_back(step);
  return all;
}

std::string refusal_of(const std::string& text, double learning_rate = 0.1) {
  return lpw::test::message_of<lpw::OptionError>([&] { (void)parse_schedule(text, learning_rate, 200); });
}

}  // namespace

TEST_CASE("schedule: cosine cycles are those of snapshot ensembles at every step", "[optim]") {
  for (const auto& [steps, snapshots] :
       {std::pair<std::int64_t, std::int64_t>{60, 5}, {1000, 6}, {7, 7}, {391 * 40, 6}}) {
    const std::int64_t length = (steps + snapshots - 1) / snapshots;  // ceil(T / M)
    const auto schedule = parse_schedule("iterations:cosine-cycles:" + std::to_string(length), 0.1, 1);
    for (std::int64_t t = 1; t <= steps; ++t) {
      const double expected =
          0.5 * (std::cos(pi * static_cast<double>((t - 1) % length) / static_cast<double>(length)) + 1);
      CHECK(difference(factor(schedule, Time{.step = t - 1}), expected) <= roundings);
    }
    CHECK(ends_of(schedule, times_of(1, steps)) == multiples(length, steps, length));
  }
  const auto floored = parse_schedule("iterations:cosine-cycles:8:0.02", 0.1, 1);
  for (std::int64_t t = 0; t < 40; ++t)
    CHECK(difference(factor(floored, Time{.step = t}),
                     0.2 + 0.4 * (1 + std::cos(pi * static_cast<double>(t % 8) / 8))) <= roundings);
}

TEST_CASE("schedule: triangular cycles are those of fast geometric ensembling at every step", "[optim]") {
  for (const std::int64_t c : {2, 4, 5, 10, 31, 400}) {
    const double first = 0.05 / 0.1, lowest = 0.0005 / 0.1;
    const auto schedule = parse_schedule("iterations:triangular-cycles:" + std::to_string(c) + ":0.05:0.0005", 0.1, 1);
    std::vector<std::int64_t> collected;
    for (std::int64_t i = 1; i <= 5 * c; ++i) {
      const double t = static_cast<double>((i - 1) % c + 1) / static_cast<double>(c);
      const double expected =
          t <= 0.5 ? (1 - 2 * t) * first + 2 * t * lowest : (2 - 2 * t) * lowest + (2 * t - 1) * first;
      CHECK(difference(factor(schedule, Time{.step = i - 1}), expected) <= roundings);
      if (((i - 1) % c + 1) * 2 == c) collected.push_back(i);  // the rate is the lowest
    }
    if (c % 2 == 0)
      CHECK(ends_of(schedule, times_of(1, 5 * c)) == collected);
    else
      CHECK(ends_of(schedule, times_of(1, 5 * c)) == multiples(c, 5 * c, (c + 1) / 2));  // the later of two lowest
  }
}

TEST_CASE("schedule: one cycle rises to its peak and falls to its last step", "[optim]") {
  const std::int64_t steps = 50;
  for (const bool linear : {false, true}) {
    const auto schedule =
        parse_schedule(std::string("iterations:one-cycle:50:20:0.01:0.0001") + (linear ? ":linear" : ""), 0.1, 1);
    for (std::int64_t s = 0; s < steps; ++s) {
      const bool rising = s <= 19;
      const double p = rising ? static_cast<double>(s) / 19 : static_cast<double>(s - 19) / 30;
      const double from = rising ? 0.1 : 1, to = rising ? 1 : 0.001;
      const double expected = linear ? from + (to - from) * p : to + (from - to) * (1 + std::cos(pi * p)) / 2;
      CHECK(difference(factor(schedule, Time{.step = s}), expected) <= roundings);
    }
    CHECK(difference(factor(schedule, Time{.step = 0}), 0.1) <= roundings);
    CHECK(factor(schedule, Time{.step = 19}) == 1);
    for (const std::int64_t s : {49, 50, 1000})
      CHECK(difference(factor(schedule, Time{.step = s}), 0.001) <= roundings);
    CHECK(ends_of(schedule, times_of(1, 80)) == std::vector<std::int64_t>{50});
  }
  const auto falling = parse_schedule("iterations:one-cycle:10:0:0.1:0", 0.1, 1);  // no rise: from the peak at once
  CHECK(difference(factor(falling, Time{.step = 9}), 0) <= roundings);
  for (std::int64_t s = 1; s < 10; ++s) CHECK(factor(falling, Time{.step = s}) < factor(falling, Time{.step = s - 1}));
}

TEST_CASE("schedule: warm-up is linear and ends before whatever follows", "[optim]") {
  const auto alone = parse_schedule("iterations:warmup:5", 0.1, 1);
  for (std::int64_t i = 1; i <= 10; ++i)
    CHECK(difference(factor(alone, Time{.step = i - 1}), std::min(static_cast<double>(i) / 5, 1.0)) <= roundings);
  const auto from = parse_schedule("iterations:warmup:4:0.02", 0.1, 1);
  for (std::int64_t i = 1; i <= 4; ++i)
    CHECK(difference(factor(from, Time{.step = i - 1}), 0.2 + 0.2 * static_cast<double>(i)) <= roundings);

  for (const std::string text : {"cosine:40", "cosine-cycles:8", "steps:10,20:0.1", "anneal:3:30:0.01", "constant",
                                 "one-cycle:40:12:0.004:0.0004", "triangular-cycles:10:0.1:0.01"}) {
    CAPTURE(text);
    const auto schedule = parse_schedule("iterations:warmup:5/" + text, 0.1, 1);
    const auto rest = parse_schedule("iterations:" + text, 0.1, 1);
    for (std::int64_t s = 0; s < 60; ++s) {
      const double expected = s < 5 ? static_cast<double>(s + 1) / 5 : factor(rest, Time{.step = s - 5});
      CHECK(difference(factor(schedule, Time{.step = s}), expected) <= roundings);
    }
  }
}

TEST_CASE("schedule: within epochs, every iteration has its rate of the same cycle", "[optim]") {
  for (const std::int64_t iterations : {1, 7, 10, 391}) {
    for (const std::string length : {"0.1", "0.3", "1", "1.5", "3"}) {
      const double steps = std::stod(length) * static_cast<double>(iterations);
      if (steps != std::round(steps) || steps < 2) continue;
      CAPTURE(iterations, length);
      for (const std::string form : {"cosine-cycles:", "triangular-cycles:"}) {
        const std::string rest = form == "cosine-cycles:" ? ":0.01" : ":0.1:0.01";
        const auto epochs = parse_schedule(form + length + rest, 0.1, 12);
        const auto counted = parse_schedule("iterations:" + form + lpw::shortest(steps) + rest, 0.1, 12);
        const auto times = times_of(12, iterations);
        for (const Time& time : times)
          CHECK(difference(factor(epochs, time), factor(counted, time)) <= 1e-12);  // epochs of up to 12, over 0.1
        CHECK(ends_of(epochs, times) == ends_of(counted, times));
        CHECK(cycles_done(epochs, times.back()) > 0);
      }
    }
  }
}

TEST_CASE("schedule: a cycle that no whole number of iterations makes ends once all the same", "[optim]") {
  const auto schedule = parse_schedule("cosine-cycles:0.7", 0.1, 21);
  for (const std::int64_t iterations : {3, 4, 11}) CHECK(ends_of(schedule, times_of(21, iterations)).size() == 30);
  // Epochs become shorter at a release: the cycle goes on by epochs.
  std::vector<Time> times = times_of(3, 10);
  times.pop_back();
  for (const Time& late : times_of(4, 2)) times.push_back({late.epoch + 3, late.iteration, 2, late.step + 30});
  const auto cycles = parse_schedule("cosine-cycles:2", 0.1, 7);
  CHECK(ends_of(cycles, times) == std::vector<std::int64_t>{20, 32, 36});
  CHECK(difference(factor(cycles, times[31]), 0.5 * (1 + std::cos(pi * 0.75))) <= roundings);
}

TEST_CASE("schedule: rates of epochs stay for the epoch, unless they are to be smooth", "[optim]") {
  for (const std::string text : {"cosine:6", "anneal:1:4:0.01", "steps:1.5,3:0.1"}) {
    CAPTURE(text);
    const auto whole = parse_schedule(text, 0.1, 6), smooth = parse_schedule("smooth:" + text, 0.1, 6);
    for (const Time& time : times_of(6, 4)) {
      if (time.iteration == time.iterations) continue;
      CHECK(factor(whole, time) == factor(whole, static_cast<double>(time.epoch)));
      CHECK(factor(smooth, time) == factor(whole, static_cast<double>(time.step) / 4));
    }
    CHECK_FALSE(has_cycles(whole));
  }
  CHECK(factor(parse_schedule("smooth:steps:1.5:0.1", 0.1, 6), Time{1, 2, 4, 6}) == 0.1);
  CHECK(factor(parse_schedule("iterations:steps:6:0.1", 0.1, 6), Time{1, 2, 4, 6}) == 0.1);
  CHECK(factor(parse_schedule("iterations:steps:6:0.1", 0.1, 6), Time{1, 1, 4, 5}) == 1);
}

TEST_CASE("schedule: curves follow one another, and cycles count from where theirs begin", "[optim]") {
  const auto schedule = parse_schedule("anneal:0:36:0.01@40/triangular-cycles:4:0.05:0.0005", 0.1, 60);
  const auto anneal = parse_schedule("anneal:0:36:0.01", 0.1, 60),
             cycles = parse_schedule("triangular-cycles:4:0.05:0.0005", 0.1, 60);
  const auto times = times_of(60, 5);
  for (const Time& time : times) {
    const bool first = time.epoch < 40;
    const Time local{time.epoch - 40, time.iteration, 5, time.step - 200};
    CHECK(difference(factor(schedule, time), first ? factor(anneal, time) : factor(cycles, local)) <= 1e-14);
  }
  CHECK(ends_of(schedule, times) == multiples(20, 300, 210));
  CHECK(has_cycles(schedule));

  const auto expanded = expand_schedule("warmup:5/cosine", 0.1, 30);
  CHECK(expanded == "warmup:5/cosine:25");
  CHECK(expand_schedule("cosine@10/anneal", 0.1, 30) == "cosine:10@10/anneal:10:18:0.001");
  CHECK(expand_schedule("smooth:cosine", 0.1, 30) == "smooth:cosine:30");
  CHECK(expand_schedule("one-cycle", 0.1, 30) == "one-cycle:30:9:0.004:" + lpw::shortest(0.1 / 25e4));
  CHECK(expand_schedule("iterations:cosine", 0.1, 30) == "iterations:cosine");
  const auto two = parse_schedule("cosine-cycles:2@4/cosine-cycles:3", 0.1, 10);
  CHECK(ends_of(two, times_of(10, 1)) == std::vector<std::int64_t>{2, 4, 7, 10});
}

TEST_CASE("schedule: what cannot be read of curves by iteration is refused with the reason", "[optim]") {
  const auto says = [](const std::string& text, const std::string& message, double rate = 0.1) {
    CHECK(refusal_of(text, rate) == "schedule \"" + text + "\": " + message);
  };
  const std::string rate = "expected one from 0 to 1e+12, and a positive learning rate";
  for (const std::string length : {"0", "-1"}) {
    says("cosine-cycles:" + length, "length " + length + "; expected more than 0");
    says("triangular-cycles:" + length + ":0.1:0.01", "length " + length + "; expected more than 0");
    says("warmup:" + length, "length " + length + "; expected more than 0");
    says("one-cycle:" + length + ":0:0:0", "length " + length + "; expected more than 0");
    says("constant@" + length + "/constant", "length " + length + "; expected more than 0");
  }
  says("cosine-cycles:5:-1", "rate -1; " + rate);
  says("triangular-cycles:5:1e13:0", "rate 1e13; " + rate);
  says("warmup:5:0.1", "rate 0.1; " + rate, 0);
  says("one-cycle:10:11:0.01:0.001", "RISE 11 is not between 0 and LENGTH 10");
  says("one-cycle:10:3:0.01:0.001:cos", "\"cos\" is no form of one-cycle; expected linear");
  says("cosine:5/constant", "\"cosine:5\" is followed by another curve; say when, by cosine:5@LENGTH");
  says("constant/cosine:5@3", "\"constant\" is followed by another curve; say when, by constant@LENGTH");
  says("cosine:5@3", "the last curve goes on to the end; leave @3 out");
  says("warmup:5@5/constant", "a warmup lasts for its own length; leave @5 out");
  says("iterations:one-cycle", "\"one-cycle\" alone lasts for all epochs; write its lengths out in iterations");
  for (const std::string text : {"warmup:5/", "/constant", "smooth:", "iterations:", "smooth:iterations:constant"})
    CHECK(lpw::test::contains(refusal_of(text), "expected constant, cosine, cosine:EPOCHS"));
  for (const std::string text : {"cosine-cycles", "cosine-cycles:1:2:3"})
    says(text, "expected cosine-cycles:LENGTH or cosine-cycles:LENGTH:FINAL");
  says("triangular-cycles:5:0.1", "expected triangular-cycles:LENGTH:FIRST:LOWEST");
  says("one-cycle:10",
       "expected one-cycle, one-cycle:LENGTH:RISE:FIRST:FINAL or one-cycle:LENGTH:RISE:FIRST:FINAL:linear");
  says("warmup", "expected warmup:LENGTH or warmup:LENGTH:FIRST");
  CHECK(lpw::test::contains(refusal_of("cosine-cycles:x"), "\"x\" is not a number; expected cosine-cycles:LENGTH or"));
  CHECK(lpw::test::contains(refusal_of("constant@x/constant"), "\"x\" is not a number; expected CURVE@LENGTH/CURVE"));
  CHECK(lpw::test::message_of<lpw::OptionError>([] { (void)Schedule(std::vector<SchedulePiece>()); }) ==
        "schedule: has no curve; expected at least one");
  CHECK(factor(parse_schedule("triangular-cycles:5:0:0", 0, 10), Time{.step = 3}) ==
        1);  // weights that stay as they are
}
