// What rank-1 factors start from: ones, or BatchEnsemble's random signs and normal numbers.
#include <lpw/late_phase/rank_one_start.hpp>

#include <lpw/late_phase/predict.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::RankOneStart;

namespace {

constexpr RankOneStart signs{RankOneStart::Kind::signs};
RankOneStart normal(double deviation) { return {RankOneStart::Kind::normal, deviation}; }

/// The factors' rows of a network released with this start, by name.
std::map<std::string, Rows<double>> factors(const lpw::ReleaseOptions& options) {
  auto network = wide_resnet<double>();
  lpw::release(network, options);
  auto state = state_of(network);
  std::erase_if(state, [](const auto& entry) { return !contains(entry.first, "rank_one"); });
  return state;
}
std::map<std::string, Rows<double>> factors(const RankOneStart& start, std::int64_t members, std::uint64_t seed = 9) {
  return factors({.members = members, .late = Group::rank_one, .random = Philox(seed), .rank_one_start = start});
}

/// Member k's factors one after another.
std::vector<double> of_member(const std::map<std::string, Rows<double>>& factors, std::int64_t k) {
  std::vector<double> all;
  for (const auto& [name, rows] : factors) {
    const auto row = rows.row(k);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}
double mean_product(std::vector<double> a, const std::vector<double>& b, double center) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = (a[i] - center) * (b[i] - center);
  return mean(a);
}

}  // namespace

TEST_CASE("rank-1 start: random signs are +1 and -1 alike, for every member its own", "[late_phase]") {
  const auto started = factors(signs, 4);
  const auto first = of_member(started, 0);
  const double n = static_cast<double>(first.size());
  REQUIRE(n > 600);
  for (std::int64_t k = 0; k < 4; ++k) {
    const auto member = of_member(started, k);
    CHECK(std::all_of(member.begin(), member.end(), [](double x) { return x == 1 || x == -1; }));
    // Five standard errors of a mean of independent signs, 1 / sqrt(n), here and of products of two members' below.
    CHECK(std::abs(mean(member)) < 5 / std::sqrt(n));
    if (k > 0) CHECK(std::abs(mean_product(first, member, 0)) < 5 / std::sqrt(n));
  }
  // Both factors of a layer, and layers of one shape, have draws of their own.
  CHECK(started.at("layer1.0.conv1.rank_one_r").values != started.at("layer1.0.conv1.rank_one_s").values);
  CHECK(started.at("layer1.0.conv1.rank_one_r").values != started.at("layer1.0.conv2.rank_one_r").values);
}

TEST_CASE("rank-1 start: normal factors lie around 1 with the deviation, for every member its own", "[late_phase]") {
  const double deviation = 0.3;
  const auto started = factors(normal(deviation), 4);
  const auto first = of_member(started, 0);
  const double n = static_cast<double>(first.size());
  for (std::int64_t k = 0; k < 4; ++k) {
    const auto member = of_member(started, k);
    // Five standard errors: of a mean, a mean square, and a mean of products.
    CHECK(std::abs(mean(member) - 1) < 5 * deviation / std::sqrt(n));
    CHECK(std::abs(mean_product(member, member, 1) / (deviation * deviation) - 1) < 5 * std::sqrt(2 / n));
    if (k > 0) CHECK(std::abs(mean_product(first, member, 1)) < 5 * deviation * deviation / std::sqrt(n));
  }
}

TEST_CASE("rank-1 start: it depends on the seed and the member, not on K or what else is released", "[late_phase]") {
  const auto start = GENERATE(RankOneStart{RankOneStart::Kind::signs}, RankOneStart{RankOneStart::Kind::normal});
  const auto one = factors(start, 3), more = factors(start, 7);
  CHECK(one == factors(start, 3));
  CHECK(one != factors(start, 3, 10));
  const auto beside = factors({.members = 3,
                               .late = Group::rank_one | Group::batch_norm,
                               .sigma = 0.5,  // for batch norm, which has no start of its own
                               .random = Philox(9),
                               .rank_one_start = start});
  for (std::int64_t k = 0; k < 3; ++k) CHECK(of_member(more, k) == of_member(one, k));
  CHECK(beside == one);
}

TEST_CASE("rank-1 start: a member computes with W o (r s^T)", "[late_phase]") {
  auto network = SmallNet<double>();
  auto plain = lpw::nn::clone_module(network);
  lpw::release(network, {.members = 3, .late = Group::rank_one, .rank_one_start = signs});
  const Minibatches<double> test(1, 6, 2);
  const auto state = state_of(network);
  for (std::int64_t k = 0; k < 3; ++k) {
    lpw::nn::for_each_dense_weight(plain, [&](const std::string& name, auto& weight) {
      const std::string layer = name.substr(0, name.rfind('.') + 1);
      const auto r = state.at(layer + "rank_one_r").row(k), s = state.at(layer + "rank_one_s").row(k);
      const auto& shared = state.at(name).values;
      const std::size_t per_output = shared.size() / r.size();
      for (std::size_t i = 0; i < shared.size(); ++i)
        weight.value().data()[i] = shared[i] * r[i / per_output] * s[i % s.size()];
    });
    // The same products, whose factors are signs, in another order.
    CHECK(relative_difference(logits_of(network, test.images, k).values, logits_of(plain, test.images).values) < 1e-13);
  }
  CHECK(logits_of(network, test.images, 0) != logits_of(network, test.images, 1));
}

TEST_CASE("rank-1 start: read and written as texts, and refused where there are no factors", "[late_phase]") {
  for (const char* text : {"ones", "signs", "normal:0.25", "normal:0"}) CHECK(RankOneStart::parse(text).text() == text);
  CHECK(RankOneStart::parse("normal").text() == "normal:0.5");
  for (const char* text : {"", "one", "normal:", "normal:-1", "normal:nan", "normal:inf", "normal:1x", "signs:1"}) {
    CAPTURE(text);
    CHECK(contains(message_of<lpw::OptionError>([&] { (void)RankOneStart::parse(text); }),
                   "expected ones, signs, normal, or normal:DEVIATION"));
  }
  SmallNet<float> network;
  const auto refused = [&](const Selectors& late, const RankOneStart& start) {
    return message_of<lpw::OptionError>(
        [&] { lpw::release(network, {.members = 2, .late = late, .rank_one_start = start}); });
  };
  CHECK(contains(refused(Group::head, signs), "rank-1 factors are to start as signs, but none are chosen"));
  CHECK(contains(refused(Group::rank_one, normal(-0.5)), "rank-1 factors with deviation -0.5; expected 0 or more"));
  CHECK(contains(refused(Group::rank_one, normal(std::nan(""))), "deviation nan"));
  CHECK(lpw::nn::members(network) == 1);
}
