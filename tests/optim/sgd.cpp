// SGD by its whole trajectory against the recursion that PyTorch documents for torch.optim.SGD, in double.
#include <lpw/optim/sgd.hpp>

#include "two_weights.hpp"

using namespace lpw::test;

namespace {

struct SgdSettings {
  double learning_rate, momentum, weight_decay;
  bool nesterov;
};

/// torch.optim.SGD's documented update, dampening 0: g <- g + decay w; b <- g at the first step, else momentum b + g
/// (without momentum there is no b); w <- w - rate (nesterov ? g + momentum b : b).
struct SgdReference {
  Vector weight, buffer = {};

  void step(const Vector& gradient, const SgdSettings& s) {
    const bool first = buffer.empty();
    buffer.resize(weight.size());
    for (std::size_t i = 0; i < weight.size(); ++i) {
      double g = gradient[i] + s.weight_decay * weight[i];
      if (s.momentum != 0) {
        buffer[i] = first ? g : s.momentum * buffer[i] + g;
        g = s.nesterov ? g + s.momentum * buffer[i] : buffer[i];
      }
      weight[i] -= s.learning_rate * g;
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("sgd: twenty steps are PyTorch's, base and late-phase weights each with their options", "[optim]",
                   float, double) {
  const double tolerance =
      100 * double(std::numeric_limits<TestType>::epsilon());  // five roundings in each of twenty steps
  const double momentum = GENERATE(0.0, 0.9);
  const bool nesterov = GENERATE(false, true);
  const double decay = GENERATE(0.0, 5e-2);
  const bool separate = GENERATE(false, true);
  if (nesterov && momentum == 0) return;  // refused, see below

  TwoWeights<TestType> network;
  lpw::optim::Sgd optimizer(network, {.learning_rate = 0.1,
                                      .momentum = momentum,
                                      .nesterov = nesterov,
                                      .weight_decay = decay,
                                      .late = separate ? std::optional(lpw::optim::Rates{0.03, 0.2}) : std::nullopt});
  lpw::release(network, optimizer, {.members = 4, .late = Group::head, .sigma = 0.5});
  const auto flat = lpw::nn::flatten(network);
  SgdReference base{values(flat->value.base)}, late{values(flat->value.late)};
  for (std::uint32_t step = 0; step < 20; ++step) {
    const double base_factor = step < 10 ? 1.0 : 0.1, late_factor = 1.0 / (1 + step);
    const auto base_gradient = add_gradient(flat->gradient.base, 2 * step),
               late_gradient = add_gradient(flat->gradient.late, 2 * step + 1);
    optimizer.step(base_factor, late_factor);
    base.step(base_gradient, {0.1 * base_factor, momentum, decay, nesterov});
    late.step(late_gradient, {(separate ? 0.03 : 0.1) * late_factor, momentum, separate ? 0.2 : decay, nesterov});
    REQUIRE(relative_difference(values(flat->value.base), base.weight) < tolerance);
    REQUIRE(relative_difference(values(flat->value.late), late.weight) < tolerance);
    REQUIRE(values(flat->gradient.base) == Vector(7, 0.0));
    REQUIRE(values(flat->gradient.late) == Vector(12, 0.0));
  }
}

TEST_CASE("sgd: the mean of the members' base gradients scales them alone, not the decay or the late-phase weights",
          "[optim]") {
  TwoWeights<double> network;
  lpw::optim::Sgd optimizer(network, {.base_gradient = lpw::optim::BaseGradient::mean});
  const SgdSettings settings{0.1, 0.9, 5e-4, true};
  SgdReference plain{values(lpw::nn::flatten(network)->value.base)};
  plain.step(add_gradient(lpw::nn::flatten(network)->gradient.base, 0),
             settings);  // one member: the mean is the gradient
  optimizer.step();
  CHECK(relative_difference(values(lpw::nn::flatten(network)->value.base), plain.weight) < 1e-14);  // a few eps

  lpw::release(network, optimizer, {.members = 5, .late = Group::head});
  const auto flat = lpw::nn::flatten(network);
  SgdReference base{values(flat->value.base), values(optimizer.velocity().base)};
  SgdReference late{values(flat->value.late), values(optimizer.velocity().late)};
  for (std::uint32_t step = 1; step < 5; ++step) {
    Vector gradient = add_gradient(flat->gradient.base, step);
    for (double& g : gradient) g /= 5;
    base.step(gradient, settings);
    late.step(add_gradient(flat->gradient.late, 100 + step), settings);
    optimizer.step();
  }
  CHECK(relative_difference(values(flat->value.base), base.weight) < 1e-14);
  CHECK(relative_difference(values(flat->value.late), late.weight) < 1e-14);
}

TEST_CASE("sgd: gradients accumulate until the step, and a plain network has no late-phase rate", "[optim]") {
  TwoWeights<double> network;
  lpw::optim::Sgd optimizer(network);
  const auto flat = lpw::nn::flatten(network);
  SgdReference reference{values(flat->value.base)};
  Vector sum = add_gradient(flat->gradient.base, 0);
  const Vector more = add_gradient(flat->gradient.base, 1);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
  reference.step(sum, {0.05, 0.9, 5e-4, true});
  optimizer.step(0.5, 100);
  CHECK(relative_difference(values(flat->value.base), reference.weight) < 1e-14);  // a few eps
}

TEST_CASE("sgd: impossible options are refused", "[optim]") {
  TwoWeights<float> network;
  const auto message = [&](const lpw::optim::SgdOptions& options) {
    return message_of<lpw::OptionError>([&] { lpw::optim::Sgd(network, options); });
  };
  CHECK(message({.learning_rate = -0.1}) == "Sgd: learning rate -0.1 is negative");
  CHECK(message({.momentum = 1}) == "Sgd: momentum 1 is outside [0, 1)");
  CHECK(message({.momentum = -0.1}) == "Sgd: momentum -0.1 is outside [0, 1)");
  CHECK(message({.momentum = 0}) == "Sgd: Nesterov momentum needs momentum > 0");
  CHECK(message({.weight_decay = -1e-4}) == "Sgd: weight decay -0.0001 is negative");
  CHECK(message({.momentum = 0, .nesterov = false}).empty());
}

TEST_CASE("sgd: an optimizer whose network moved to other stores refuses to step", "[optim]") {
  auto network = SmallNet<float>();
  lpw::optim::Sgd optimizer(network);
  optimizer.step();
  lpw::optim::Sgd of_a_part(network.hidden);  // takes the layer's weights out of the network's stores
  CHECK_THROWS_AS(optimizer.step(), lpw::Error);
  of_a_part.step();
}
