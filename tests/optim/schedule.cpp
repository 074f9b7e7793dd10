// Schedules: values at their boundaries and the messages of the parser.
#include <lpw/optim/schedule.hpp>

#include <cmath>

#include "catch.hpp"
#include "support/errors.hpp"

using lpw::optim::factor;
using lpw::optim::parse_schedule;

namespace {

std::string refused(const std::string& text, double learning_rate = 0.1) {
  return lpw::test::message_of<lpw::OptionError>([&] { (void)parse_schedule(text, learning_rate, 200); });
}

constexpr double eps = 1e-15;  // values of order 1, a few roundings

const std::string forms =
    "expected constant, cosine, cosine:EPOCHS, anneal, anneal:START:END:FINAL, steps:a,b,...:gamma, "
    "cosine-cycles:LENGTH, cosine-cycles:LENGTH:FINAL, triangular-cycles:LENGTH:FIRST:LOWEST, one-cycle, "
    "one-cycle:LENGTH:RISE:FIRST:FINAL, one-cycle:LENGTH:RISE:FIRST:FINAL:linear, warmup:LENGTH or "
    "warmup:LENGTH:FIRST; several as CURVE@LENGTH/CURVE, with smooth: or iterations: before them";

}  // namespace

TEST_CASE("schedule: the CIFAR runs' rate is 0.1 to epoch 100, falls to 0.001 at epoch 180 and stays", "[optim]") {
  const auto schedule = parse_schedule("anneal:100:180:0.001", 0.1, 200);
  const auto rate = [&](double epoch) { return 0.1 * factor(schedule, epoch); };
  CHECK(rate(0) == 0.1);
  CHECK(rate(99) == 0.1);
  CHECK(rate(100) == 0.1);
  CHECK(std::abs(rate(101) - (0.1 - 0.099 / 80)) < eps);
  CHECK(std::abs(rate(140) - 0.0505) < eps);
  CHECK(std::abs(rate(179) - (0.001 + 0.099 / 80)) < eps);
  CHECK(std::abs(rate(180) - 0.001) < eps);
  CHECK(std::abs(rate(199) - 0.001) < eps);
  CHECK(std::abs(rate(1e6) - 0.001) < eps);
}

TEST_CASE("schedule: the SWA runs' rate falls from 0.1 at epoch 80 to 0.05 at epoch 144", "[optim]") {
  const auto schedule = parse_schedule("anneal:80:144:0.05", 0.1, 200);
  CHECK(factor(schedule, 80) == 1);
  CHECK(std::abs(factor(schedule, 112) - 0.75) < eps);
  CHECK(std::abs(factor(schedule, 144) - 0.5) < eps);
}

TEST_CASE("schedule: an anneal may rise and may start at once", "[optim]") {
  const auto schedule = parse_schedule("anneal:0:5:0.4", 0.1, 10);
  CHECK(factor(schedule, 0) == 1);
  CHECK(std::abs(factor(schedule, 2.5) - 2.5) < 1e-14);
  CHECK(std::abs(factor(schedule, 5) - 4) < 1e-14);
}

TEST_CASE("schedule: steps multiply at each milestone, from that epoch on", "[optim]") {
  const auto schedule = parse_schedule("steps:60,120,160:0.2", 0.1, 200);
  for (const auto& [epoch, expected] :
       {std::pair{0, 1.0}, {59, 1.0}, {60, 0.2}, {119, 0.2}, {120, 0.04}, {159, 0.04}, {160, 0.008}, {1000, 0.008}})
    CHECK(std::abs(factor(schedule, epoch) - expected) < eps);
  CHECK(factor(parse_schedule("steps:10:0.1", 1, 20), 10) == 0.1);
  CHECK(factor(parse_schedule("steps:20,10:0.5", 1, 30), 15) == 0.5);  // in any order
}

TEST_CASE("schedule: anneal alone is the method's schedule, scaled to the epochs", "[optim]") {
  const auto published = parse_schedule("anneal:100:180:0.001", 0.1, 200), scaled = parse_schedule("anneal", 0.1, 200);
  for (const double epoch : {0.0, 99.0, 100.0, 140.0, 179.0, 180.0, 199.0})
    CHECK(factor(scaled, epoch) == factor(published, epoch));
  CHECK(factor(parse_schedule("anneal", 0.1, 10), 5) == 1);
  CHECK(factor(parse_schedule("anneal", 0, 10), 10) == 1);  // of weights that stay as they are
  CHECK(std::abs(factor(parse_schedule("anneal", 0.1, 10), 9) - 0.01) < eps);
}

TEST_CASE("schedule: what depends on the number of epochs can be written out, and is the same schedule then",
          "[optim]") {
  using lpw::optim::expand_schedule;
  CHECK(expand_schedule("anneal", 0.1, 200) == "anneal:100:180:0.001");
  CHECK(expand_schedule("anneal", 0.123456789, 7) == "anneal:3.5:6.3:0.00123456789");
  CHECK(expand_schedule("cosine", 0.1, 30) == "cosine:30");
  for (const std::string text : {"constant", "anneal:1:2:0.3", "steps:1,2:0.1", "cosine:7", "nonsense"})
    CHECK(expand_schedule(text, 0.1, 200) == text);
  for (const std::string text : {"anneal", "cosine"})
    for (const double rate : {0.1, 0.3, 0.123456789})
      for (const double epoch : {0.0, 3.0, 5.0, 6.0, 7.0, 20.0})
        CHECK(factor(parse_schedule(text, rate, 7), epoch) ==
              factor(parse_schedule(expand_schedule(text, rate, 7), rate, 1000), epoch));
}

TEST_CASE("schedule: cosine and constant", "[optim]") {
  const auto cosine = parse_schedule("cosine", 0.1, 200);
  CHECK(factor(cosine, 0) == 1);
  CHECK(std::abs(factor(cosine, 50) - (1 + std::sqrt(0.5)) / 2) < eps);
  CHECK(std::abs(factor(cosine, 100) - 0.5) < eps);
  CHECK(std::abs(factor(cosine, 150) - (1 - std::sqrt(0.5)) / 2) < eps);
  CHECK(factor(cosine, 200) == 0);
  CHECK(factor(cosine, 300) == 0);
  for (const double epoch : {0.0, 1.0, 199.0}) CHECK(factor(parse_schedule("constant", 0.1, 200), epoch) == 1);
}

TEST_CASE("schedule: what cannot be read is refused with the schedule and the reason", "[optim]") {
  for (const std::string text : {"", "Constant", "linear"})
    CHECK(refused(text) == "schedule \"" + text + "\": there is no curve \"" + text + "\"; " + forms);
  CHECK(refused("smoth:cosine") == "schedule \"smoth:cosine\": there is no curve \"smoth\"; " + forms);
  // One of several, in the text as it was given, whose others depend on the epochs.
  CHECK(refused("warmup:2/cosine@10/cosin:3") ==
        "schedule \"warmup:2/cosine@10/cosin:3\": there is no curve \"cosin\"; " + forms);
  // Of a curve that there is, its forms alone.
  const std::string of_anneal = "expected anneal or anneal:START:END:FINAL", of_steps = "expected steps:a,b,...:gamma";
  for (const std::string text : {"anneal:100:180", "anneal:100:180:0.001:1"})
    CHECK(refused(text) == "schedule \"" + text + "\": " + of_anneal);
  CHECK(refused("steps:60") == "schedule \"steps:60\": " + of_steps);
  CHECK(refused("cosine:3:4") == "schedule \"cosine:3:4\": expected cosine or cosine:EPOCHS");
  for (const std::string part : {"x", "", "1e", "0x10", " 1", "1 ", "+1", "nan", "inf", "1e999"})
    CHECK(refused("anneal:" + part + ":180:0.001") ==
          "schedule \"anneal:" + part + ":180:0.001\": \"" + part + "\" is not a number; " + of_anneal);
  CHECK(refused("steps:60,,160:0.2") == "schedule \"steps:60,,160:0.2\": \"\" is not a number; " + of_steps);
  CHECK(refused("steps:60:-0.1") == "schedule \"steps:60:-0.1\": gamma is negative");
  CHECK(refused("steps:-5:0.1") == "schedule \"steps:-5:0.1\": milestone -5 is negative");
  CHECK(refused("steps:60,-1,70:0.1") == "schedule \"steps:60,-1,70:0.1\": milestone -1 is negative");
  CHECK(refused("steps:1,2,3:1e5") ==
        "schedule \"steps:1,2,3:1e5\": leads to a learning rate of 1e+14; expected at most 1e+12");
  CHECK(refused("steps:1,2:1e300") ==
        "schedule \"steps:1,2:1e300\": leads to a learning rate of inf; expected at most 1e+12");
  for (const std::string length : {"0", "-1"})
    CHECK(refused("cosine:" + length) == "schedule \"cosine:" + length + "\": expected a positive number of epochs");

  const std::string range = ": expected 0 <= START < END, FINAL from 0 to 1e+12 and a positive learning rate";
  for (const std::string text : {"anneal:180:100:0.001", "anneal:100:100:0.001", "anneal:-1:100:0.001",
                                 "anneal:100:180:-0.001", "anneal:1:2:1e300"})
    CHECK(refused(text) == "schedule \"" + text + "\"" + range);
  for (const double rate : {0.0, -0.1})
    CHECK(refused("anneal:100:180:0.001", rate) == "schedule \"anneal:100:180:0.001\"" + range);
}
