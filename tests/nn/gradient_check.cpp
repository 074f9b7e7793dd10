// The check of a layer's gradients: right ones pass, with members and all forms, and wrong ones are named.
#include <lpw/nn/gradient_check.hpp>

#include <lpw/late_phase/release.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

/// y = slope_c x, with the slope's gradient `factor` times as large as it is.
struct Slope {
  using value_type = double;
  using device_type = Cpu;

  lpw::Variable<double, Cpu> forward(const lpw::Variable<double, Cpu>& x) {
    const auto s = slope.on(x);
    const auto scaled = lpw::record(
        clone(s.value()),
        [this, ds = s.edge()](lpw::Tensor<double, Cpu> dy) {
          for (std::int64_t i = 0; i < dy.size(); ++i) dy.data()[i] *= factor;
          ds.add(std::move(dy));
        },
        s);
    return lpw::scale_channels(x, scaled);
  }
  template <class F>
  void visit(F&& f) {
    f("slope", slope);
  }

  double factor = 1;
  lpw::nn::Parameter<double, Cpu> slope{lpw::full<double, Cpu>({1, 3}, 0.5), lpw::Group::batch_norm};
};

/// A slope that throws once it has been moved.
struct Fragile : Slope {
  lpw::Variable<double, Cpu> forward(const lpw::Variable<double, Cpu>& x) {
    lpw::require(slope.value().data()[2] <= 0.5, "moved");
    return Slope::forward(x);
  }
};

}  // namespace

TEST_CASE("gradient check of a layer: where forward throws, parameters are as before and gradients zero", "[nn]") {
  Fragile layer;
  const auto x = normal_tensor<double>({1, 2, 3}, Philox(3));
  CHECK(message_of<lpw::Error>([&] { (void)lpw::nn::gradient_mismatch("fragile", layer, x); }) == "moved");
  for (std::int64_t i = 0; i < 3; ++i) CHECK(layer.slope.value().data()[i] == 0.5);
  for (std::int64_t i = 0; i < 3; ++i) CHECK(layer.slope.gradient().data()[i] == 0);
}

TEST_CASE("a layer's gradients are checked, of its input, its parameters and each member's rows", "[gradient_check]") {
  const char* late = GENERATE("", "batchnorm,head", "rank1", "additive");
  SmallNet<double> network;
  if (*late != '\0')
    lpw::release(network, {.members = 2, .late = lpw::Selectors::parse(late), .sigma = 0.3, .random = lpw::Philox(2)});
  const std::int64_t members = *late == '\0' ? 1 : 2;
  const auto before = state_of(network);
  const auto x = random_tensor<double>({members, 3, 6, 6, 3}, 5);
  CHECK(lpw::nn::gradient_mismatch("small net", network, x) == "");
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    CHECK(rows_of(parameter.value()) == before.at(name));
    CHECK(largest_magnitude(clone(parameter.gradient())) == 0);
  });
}

TEST_CASE("a layer's wrong gradient is named", "[gradient_check]") {
  Slope layer;
  const auto x = random_tensor<double>({2, 4, 3}, 5);
  CHECK_NOTHROW(lpw::nn::require_gradient("slope", layer, x));
  layer.factor = 1.001;
  const auto message = message_of<lpw::Error>([&] { lpw::nn::require_gradient("slope", layer, x); });
  CHECK(message.starts_with("slope: gradient of 'slope' [1 3], element 0: expected "));
  lpw::release(layer, {.members = 2, .late = lpw::Group::batch_norm});
  CHECK(lpw::nn::gradient_mismatch("slope", layer, x).starts_with("slope: gradient of 'slope' [2 3], element 0: "));
}
