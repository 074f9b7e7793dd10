// Coefficients of templates as a group with rates of their own: every weight moves as with an optimizer that has its
// group's rates for all.
#include <memory>
#include <optional>
#include <vector>

#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/make_optimizer.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::optim::OptimizerOptions;
using lpw::optim::Rates;

namespace {

/// A network of templates with an optimizer, whose gradients are drawn.
struct Hyper {
  lpw::nn::WideResNet<double, Cpu> network{{.depth = 10, .widen = 1, .classes = 3, .templates = true}, Philox(2)};
  std::unique_ptr<lpw::optim::Optimizer<double, Cpu>> optimizer;

  explicit Hyper(const OptimizerOptions& options) : optimizer(lpw::optim::make_optimizer(network, options)) {}

  void release(const lpw::Selectors& late) {
    lpw::release(network, *optimizer, {.members = 3, .late = late, .sigma = 0.1, .random = Philox(3)});
  }
  void step(std::uint32_t number, double base_factor, double late_factor, std::optional<double> coefficient_factor) {
    auto& gradient = lpw::nn::flatten(network)->gradient;
    for (auto* store : {&gradient.base, &gradient.late})
      copy(normal_tensor<double>(store->shape(), Philox(5, lpw::Stream::test, 2 * number)), *store);
    optimizer->step(base_factor, late_factor, coefficient_factor);
  }
};

/// Which coordinates of two networks' weights and states differ: of coefficients, and of others.
struct Differences {
  std::int64_t coefficients = 0, others = 0;
};
Differences group_differences(Hyper& a, Hyper& b) {
  const auto& flat = *lpw::nn::flatten(a.network);
  Differences result;
  const auto compare = [&](const lpw::nn::FlatPair<double, Cpu>& one, const lpw::nn::FlatPair<double, Cpu>& other) {
    for (const auto& segment : flat.segments) {
      const auto& x = segment.late_phase ? one.late : one.base;
      const auto& y = segment.late_phase ? other.late : other.base;
      auto& count = segment.name.ends_with("coefficients") ? result.coefficients : result.others;
      for (std::int64_t k = 0; k < x.dim(0); ++k)
        for (std::int64_t i = segment.offset; i < segment.offset + segment.size; ++i)
          count += x.row(k)[i] == y.row(k)[i] ? 0 : 1;
    }
  };
  compare(flat.value, lpw::nn::flatten(b.network)->value);
  for (std::size_t i = 0; i < a.optimizer->states().size(); ++i)
    compare(a.optimizer->states()[i].pair, b.optimizer->states()[i].pair);
  return result;
}

/// The options with other rates.
template <class Options>
OptimizerOptions with_groups(Options o, std::optional<Rates> late, std::optional<Rates> coefficients) {
  o.late = late, o.coefficients = coefficients;
  return o;
}

}  // namespace

TEST_CASE("coefficients of templates step with rates and factors of their own, all others as without them", "[optim]") {
  using lpw::optim::AdamOptions, lpw::optim::SgdOptions;
  const auto options = GENERATE(as<std::variant<SgdOptions, AdamOptions>>{},
                                SgdOptions{.learning_rate = 0.05, .weight_decay = 1e-3, .clip = 2},
                                AdamOptions{.learning_rate = 0.01, .weight_decay = 0.1, .decoupled = true});
  // Among late-phase weights of members from a release on, or base weights then.
  const char* late = GENERATE("templates", "batchnorm");
  CAPTURE(late);
  const Rates members{0.02, 0.01}, own{0.3, 0.05};
  std::visit(
      [&](auto o) {
        Hyper grouped(with_groups(o, members, own)), without(with_groups(o, members, std::nullopt));
        o.learning_rate = own.learning_rate, o.weight_decay = own.weight_decay;
        Hyper alike(with_groups(o, std::nullopt, std::nullopt));
        for (std::uint32_t step = 0; step < 20; ++step) {
          if (step == 8)
            for (Hyper* each : {&grouped, &without, &alike}) each->release(lpw::Selectors::parse(late));
          if (step == 8) {  // noise follows the weights' size: the same start for all
            for (Hyper* each : {&without, &alike})
              copy(lpw::nn::flatten(grouped.network)->value.base, lpw::nn::flatten(each->network)->value.base),
                  copy(lpw::nn::flatten(grouped.network)->value.late, lpw::nn::flatten(each->network)->value.late);
          }
          const double factor = 1.0 / (1 + step);
          grouped.step(step, 0.5, 0.7, factor);
          without.step(step, 0.5, 0.7, std::nullopt);
          alike.step(step, factor, factor, std::nullopt);
          REQUIRE(group_differences(grouped, alike).coefficients == 0);
          REQUIRE(group_differences(grouped, alike).others > 0);
          REQUIRE(group_differences(grouped, without).others == 0);
          REQUIRE(group_differences(grouped, without).coefficients > 0);
        }
      },
      options);
}

TEST_CASE("a group of coefficients with the rates of late-phase weights changes no bit", "[optim]") {
  const Rates late{0.02, 0.01};
  const lpw::optim::SgdOptions options{.learning_rate = 0.05};
  Hyper grouped(with_groups(options, late, late)), without(with_groups(options, late, std::nullopt));
  for (std::uint32_t step = 0; step < 4; ++step)
    for (Hyper* each : {&grouped, &without}) each->step(step, 0.5, 0.7, std::nullopt);
  CHECK(group_differences(grouped, without).coefficients + group_differences(grouped, without).others == 0);
  CHECK(grouped.optimizer->coefficient_rates() == late);
  CHECK_THROWS_AS(Hyper(with_groups(options, late, Rates{-1, 0})), lpw::OptionError);
}
