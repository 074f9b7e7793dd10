// How many late-phase weights a member of WRN-28-10 has: the table of docs/late-phase-weights.md.
#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

TEST_CASE("WRN-28-10 has the late-phase weights that the documents count", "[late_phase][slow]") {
  lpw::nn::WideResNet<float, Cpu> network({.depth = 28, .widen = 10, .classes = 10}, Philox(1));
  const auto a_member_of = [&](const char* selectors) {
    lpw::release(network, {.members = 1, .late = Selectors::parse(selectors)});  // K = 1: the counts are per member
    const auto flat = lpw::nn::flatten(network);
    const std::pair counts(flat->value.late.dim(1), flat->value.base.dim(1));
    lpw::collapse(network, lpw::Collapse::parameters);
    return counts;
  };
  constexpr std::int64_t whole = 36'479'194;
  const auto moved = [&](std::int64_t late) { return std::pair(late, whole - late); };
  CHECK(a_member_of("batchnorm") == moved(17'952));
  CHECK(a_member_of("head") == moved(6'410));
  CHECK(a_member_of("batchnorm,head") == moved(24'362));
  CHECK(a_member_of("rank1") == std::pair<std::int64_t, std::int64_t>(19'581, whole));
  CHECK(a_member_of("rank1,batchnorm") == std::pair<std::int64_t, std::int64_t>(37'533, whole - 17'952));
  CHECK(a_member_of("all") == moved(whole));
  // What additive weights would be for all dense weights, beside those: as many as they.
  std::int64_t dense = 0;
  lpw::nn::for_each_dense_weight(network, [&](const std::string&, auto& weight) {
    if (weight.takes_factors()) dense += weight.shape().size();  // a bias takes none
  });
  CHECK(dense == 36'461'232);
  CHECK(lpw::nn::flatten(network)->value.base.dim(1) == whole);
}
