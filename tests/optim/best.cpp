// The best of candidates: which wins, and that what is kept of it is all of it.
#include <lpw/optim/best.hpp>

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::optim::Best;
using lpw::optim::BestWeights;
using lpw::optim::Candidate;

namespace {

constexpr double nan_score = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("best: the highest score wins, the first of equals, and NaN never", "[optim]") {
  struct Case {
    std::vector<double> scores;
    std::string highest;
  };
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Case& c :
       {Case{{0.5, 0.7, 0.6}, "1"}, Case{{0.5, 0.5, 0.5}, "0"}, Case{{nan_score, 0.2, nan_score, 0.3}, "3"},
        Case{{0.3, nan_score}, "0"}, Case{{-infinity, 0.1, infinity}, "2"}, Case{{0.0, -0.0}, "0"}}) {
    Best best;
    std::string kept;
    for (std::size_t i = 0; i < c.scores.size(); ++i) {
      const std::string name = std::to_string(i);
      const bool won = best.offer(name, c.scores[i], [&] { kept = name; });
      CHECK(won == (kept == name));
    }
    REQUIRE(best.candidate());
    CHECK(kept == c.highest);
    CHECK(best.candidate()->name == kept);
    CHECK(best.candidate()->score == c.scores[static_cast<std::size_t>(std::stoi(kept))]);
  }
  Best none;
  for (int i = 0; i < 3; ++i) CHECK_FALSE(none.offer("nothing", nan_score, [] { FAIL("it was kept"); }));
  CHECK_FALSE(none.candidate());
}

TEST_CASE("best: a candidate that could not be kept does not count", "[optim]") {
  Best best;
  CHECK(best.offer("kept", 0.5, [] {}));
  CHECK_THROWS_AS(best.offer("lost", 0.9, [] { lpw::fail<lpw::FileError>("the disk is full"); }), lpw::FileError);
  CHECK(best.candidate() == Candidate{"kept", 0.5});
  CHECK(best.offer("next", 0.6, [] {}));
  CHECK(message_of<lpw::OptionError>([&] {
          best.set_candidate(Candidate{"odd", nan_score});
        }) == "Best: the score of 'odd' is NaN, which is never the best");
  CHECK(best.candidate() == Candidate{"next", 0.6});
}

TEST_CASE("best: the weights and statistics of the best candidate come back bit for bit", "[optim]") {
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer,
               {.members = GENERATE(1, 3), .late = Group::batch_norm | Group::rank_one, .sigma = 0.1});
  BestWeights<double, Cpu> best;
  CHECK(message_of<lpw::Error>([&] { best.apply(network); }) ==
        "BestWeights: no candidate with a score has been offered yet");
  std::map<std::string, Rows<double>> expected;
  const double scores[] = {0.1, nan_score, 0.6, 0.4, 0.6};
  for (std::uint32_t i = 0; i < 5; ++i) {
    train(network, optimizer, 1, i);
    CHECK(best.offer(lpw::to_text("step ", i), scores[i], network) == (i == 0 || i == 2));
    if (i == 2) expected = state_of(network);
  }
  CHECK_FALSE(state_of(network) == expected);
  lpw::optim::mark_statistics_stale(network);
  CHECK(
      message_of<lpw::Error>([&] { best.offer("stale", 0.9, network); }) ==
      "BestWeights: the running statistics of 'stale' belong to other weights; call recompute_statistics before it is "
      "scored");
  best.apply(network);
  CHECK(state_of(network) == expected);
  CHECK_FALSE(lpw::nn::statistics_stale(network));
  CHECK(best.candidate() == Candidate{"step 2", 0.6});
  auto other = SmallNet<double>();
  CHECK(message_of<lpw::Error>([&] { best.apply(other); }) ==
        "BestWeights: the network has other weights than 'step 2'");
}
