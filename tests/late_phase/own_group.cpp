// Late-phase weights by a group of one's own.
#include <lpw/late_phase/collapse.hpp>

#include <lpw/nn/forms/share_templates.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::OptionError;
using lpw::own_group;

TEST_CASE("release: parameters of a group of one's own, whatever their layers and names", "[release]") {
  SmallNet<double> network;
  network.hidden.bias->set_group(own_group(3));
  network.conv.weight.set_group(own_group(15));
  const lpw::Selectors late =
      GENERATE(lpw::Selectors(own_group(3) | own_group(15) | Group::head), lpw::Selectors::parse("own:3,own:15,head"));
  CHECK(late.text() == "head,own:3,own:15");
  lpw::release(network, {.members = 2, .late = late});
  lpw::nn::for_each_parameter(network, [](const std::string& name, const auto& parameter) {
    CAPTURE(name);
    CHECK(parameter.late_phase() == (name == "hidden.bias" || name == "conv.weight" || name.starts_with("last.")));
  });
  lpw::collapse(network);
  CHECK(message_of<OptionError>([&] { lpw::release(network, {.members = 2, .late = own_group(4)}); }) ==
        "release: the network has no parameter of own_group(4)");
  CHECK(message_of<OptionError>([] { (void)own_group(16); }) == "own_group: number 16; expected one from 0 to 15");
  CHECK(message_of<OptionError>([] { (void)lpw::Selectors::parse("own:16"); }) ==
        std::string("late-phase weights: \"own:16\" is no name") + lpw::Selectors::expected);
}

TEST_CASE("release: coefficients of templates and rank-1 factors may have a group of one's own", "[release]") {
  SmallNet<double> network;
  lpw::nn::Initializer init(Philox(4));
  lpw::nn::share_templates<double, Cpu>({&network.hidden.weight}, {.templates = 3}, init);
  auto& coefficients = network.hidden.weight.templates()->coefficients;
  coefficients.set_group(GENERATE(own_group(3), own_group(3) | Group::templates));
  lpw::optim::Sgd optimizer(network, {.coefficients = lpw::optim::Rates{0.3, 0}});
  lpw::release(network, optimizer, {.members = 2, .late = own_group(3) | Group::rank_one});
  CHECK(coefficients.value().dim(0) == 2);
  REQUIRE(network.conv.weight.rank_one() != nullptr);
  network.conv.weight.rank_one()->output.set_group(own_group(3));
  const auto flat = lpw::nn::lay_out(network, 2);
  for (const auto& segment : flat->segments) {
    CAPTURE(segment.name);
    CHECK(contains(segment.group, Group::rank_one) == (segment.name.find("rank_one") != std::string::npos));
    CHECK(contains(segment.group, Group::templates) == segment.name.ends_with("coefficients"));
  }
}
