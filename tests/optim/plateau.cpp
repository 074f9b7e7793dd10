// Rates that follow a score, against the steps that PyTorch documents for ReduceLROnPlateau.
#include <lpw/optim/plateau.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include <lpw/tensor/philox.hpp>

#include "catch.hpp"
#include "support/errors.hpp"

using lpw::optim::Plateau;
using lpw::optim::PlateauOptions;
using lpw::test::message_of;

namespace {

/// torch.optim.lr_scheduler.ReduceLROnPlateau.step, for positive scores and a rate of 1 at first.
struct Reference {
  PlateauOptions o;
  double best = o.larger_is_better ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  double rate = 1;
  std::int64_t bad = 0, cooldown = 0;

  double step(double score) {
    const bool better = o.larger_is_better
                            ? (o.relative ? score > best * (1 + o.threshold) : score > best + o.threshold)
                            : (o.relative ? score < best * (1 - o.threshold) : score < best - o.threshold);
    if (better) {
      best = score, bad = 0;
    } else {
      bad += 1;
    }
    if (cooldown > 0) cooldown -= 1, bad = 0;
    if (bad > o.patience) rate = std::max(rate * o.factor, o.least), cooldown = o.cooldown, bad = 0;
    return rate;
  }
};

}  // namespace

TEST_CASE("plateau: a rate falls as PyTorch's", "[optim]") {
  const bool larger = GENERATE(false, true), relative = GENERATE(false, true);
  const std::int64_t patience = GENERATE(0, 2), cooldown = GENERATE(0, 3);
  CAPTURE(larger, relative, patience, cooldown);
  const PlateauOptions options{.factor = 0.5,
                               .patience = patience,
                               .larger_is_better = larger,
                               .threshold = 0.02,
                               .relative = relative,
                               .cooldown = cooldown,
                               .least = 0.01};
  Plateau plateau(options), resumed(options);
  Reference reference{options};
  const lpw::Philox random(4);
  for (std::uint64_t i = 0; i < 60; ++i) {
    const double score =
        i % 17 == 5 ? std::nan("") : 1 + (larger ? 1 : -1) * std::min(0.02 * double(i), 0.5) + 0.1 * random.uniform(i);
    CHECK(plateau.observe(score) == reference.step(score));
    resumed.observe(score);
    Plateau next(options);
    next.set_state(resumed.state());
    CHECK(next.state() == resumed.state());
    resumed = next;
    CHECK(resumed.factor() == plateau.factor());
  }
  CHECK(plateau.factor() < 0.6);
}

TEST_CASE("plateau: braces are its default", "[optim]") {
  struct Loop {
    Plateau plateau = {};
  };
  const Plateau plateau({});
  CHECK(plateau.options().patience == Loop{{}}.plateau.options().patience);
  CHECK(plateau.state() == Plateau().state());
}

TEST_CASE("plateau: options that cannot be are refused", "[optim]") {
  const auto message = [](const PlateauOptions& options) {
    return message_of<lpw::OptionError>([&] { (void)Plateau(options); });
  };
  CHECK(message({.factor = 1}) == "Plateau: factor 1; expected above 0 and below 1");
  CHECK(message({.patience = -1}) == "Plateau: patience -1 and cooldown 0; expected 0 or more");
  CHECK(message({.threshold = std::nan("")}) == "Plateau: threshold nan; expected 0 or more");
  CHECK(message({.least = 2}) == "Plateau: least factor 2; expected from 0 to 1");
}
