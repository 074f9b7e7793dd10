// Gradients of layers whose weights are made of templates, through the layer, with rows of each member.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lpw/late_phase/release.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/lstm.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::int64_t members = 3;
constexpr MemberRange all_members{}, last_two{1, 2};

using Named = std::vector<std::pair<std::string, nn::Parameter<double, Cpu>>>;

/// Handles to a layer's parameters, each once, deviations among them, of which the walk must miss none.
template <class M>
Named parameters_of(M& layer) {
  Named result;
  std::set<const void*> seen;
  nn::for_each_parameter(layer, [&](const std::string& name, auto& parameter) {
    if (seen.insert(parameter.id()).second) result.emplace_back(name, parameter);
  });
  for (auto& [name, parameter] : result) {
    INFO(name);
    CHECK((parameter.deviations() == nullptr || seen.contains(parameter.deviations()->id())));
  }
  return result;
}

/// The gradient of a parameter since it was filled with `before`; members outside of the range must not have touched
/// theirs.
DoubleTensor gradient_since(nn::Parameter<double, Cpu>& parameter, double before, MemberRange range) {
  DoubleTensor gradient = clone(parameter.gradient());
  const bool narrowed = gradient.dim(0) == members && range.count > 0;
  for (std::int64_t k = 0; k < gradient.dim(0); ++k)
    for (std::int64_t i = 0; i < gradient.shape().size_from(1); ++i) {
      gradient.row(k)[i] -= before;
      if (narrowed && (k < range.first || k >= range.first + range.count)) CHECK(gradient.row(k)[i] == 0);
    }
  return gradient;
}

/// The first element of a gradient that is not as the differences say, or "".
std::string mismatch(const DoubleTensor& found, const Differences& expected, std::size_t input) {
  const DoubleTensor& wanted = expected.derivative[input];
  REQUIRE(found.shape() == wanted.shape());
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const double want = wanted.data()[i], got = found.data()[i], tolerance = expected.tolerance(want);
    if (!(std::abs(got - want) <= tolerance))  // true for NaN
      return to_text("element ", i, " of ", wanted.shape(), ": expected ", want, " +- ", tolerance, ", found ", got);
  }
  return {};
}

/// The layer's gradients of x [B, ...] for each member and of all its parameters, which it leaves in them, against
/// central differences of the layer itself; x as a leaf, behind another operation, and as data.
template <class M>
void check_layer(M& layer, const Shape& x, MemberRange range) {
  Named parameters = parameters_of(layer);
  std::vector<DoubleTensor> inputs{random_tensor<double>(x.prepend(range.count > 0 ? range.count : members), 99)};
  for (const auto& [name, parameter] : parameters)
    inputs.push_back(random_tensor<double>(parameter.value().shape(), static_cast<std::uint32_t>(100 + inputs.size())));
  const auto layer_of = [&](DoubleVariables in) {
    for (std::size_t i = 0; i < parameters.size(); ++i) copy(in[i + 1].value(), parameters[i].second.value());
    return layer.forward(in[0]);
  };
  const TapeOptions options{.members = range};
  const Differences expected = central_differences(layer_of, inputs, options);
  for (const auto& derivative : expected.derivative) CHECK(largest_magnitude(derivative) > expected.tolerance(0));
  constexpr double before = 0.25;
  constexpr std::size_t other_than_x = 1;
  for (const auto kind : {GradientPath::leaves, GradientPath::behind_operation, GradientPath::alone}) {
    const GradientPath path{kind, other_than_x};
    INFO("x " << (kind == GradientPath::alone ? "as data" : path.name()));
    for (auto& [name, parameter] : parameters) fill(parameter.gradient(), before);
    const auto found = tape_gradients(layer_of, inputs, options, path);
    if (path.wants(0)) CHECK(mismatch(found[0], expected, 0) == "");
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      INFO("gradient of " << parameters[i].first);
      CHECK(mismatch(gradient_since(parameters[i].second, before, range), expected, i + 1) == "");
    }
  }
}

/// The layer that make() makes, released in each way that gives its templates or coefficients rows of each member, in
/// a pass of all members and in one of some.
template <class Make>
void check_layers(Make&& make, const Shape& x) {
  for (const char* late : {"templates", "*templates*", "all", "templates,additive", "additive"})
    for (const MemberRange range : {all_members, last_two}) {
      INFO("released: " << late << "; members from " << range.first);
      auto layer = make();
      release(layer, {.members = members, .late = Selectors::parse(late)});
      REQUIRE(nn::members(layer) == members);
      check_layer(layer, x, range);
    }
}

nn::Initializer templates_initializer() { return nn::Initializer(Philox{1}); }

using Conv = nn::Conv2d<double, Cpu>;
using Dense = nn::Linear<double, Cpu>;
using Recurrent = nn::Lstm<double, Cpu>;

/// Two convolutions of one bank, the first in one part and the second in two.
struct TwoConvolutions {
  using value_type = double;
  using device_type = Cpu;

  explicit TwoConvolutions(nn::Initializer init = templates_initializer())
      : first({.in_channels = 2, .out_channels = 4, .padding = 1}, init),
        second({.in_channels = 4, .out_channels = 4, .stride = 2, .padding = 1}, init) {
    nn::share_templates<double, Cpu>({&first.weight, &second.weight}, {.templates = 3}, init);
  }
  DoubleVariable forward(const DoubleVariable& x) { return second.forward(first.forward(x)); }
  template <class F>
  void visit(F&& f) {
    f("first", first);
    f("second", second);
  }

  Conv first, second;
};

/// A block of a Wide ResNet in little: the convolution, in two parts, reads a batch norm that is pending, and adds its
/// result to a residual.
struct Block {
  using value_type = double;
  using device_type = Cpu;

  explicit Block(nn::Initializer init = templates_initializer())
      : bn(4, {.relu = true}), conv({.in_channels = 4, .out_channels = 4, .padding = 1}, init) {
    nn::share_templates<double, Cpu>({&conv.weight}, {.templates = 3, .inputs = 2}, init);
  }
  DoubleVariable forward(const DoubleVariable& x) { return conv.forward(bn.forward(x), x); }
  template <class F>
  void visit(F&& f) {
    f("bn", bn);
    f("conv", conv);
  }

  nn::BatchNorm<double, Cpu> bn;
  Conv conv;
};

}  // namespace

TEST_CASE("templates in Conv2d: gradients of coefficients, templates and images", "[templates]") {
  SECTION("kernels 3x3 of one bank, in one part and in two, with a stride") {
    check_layers([] { return TwoConvolutions(); }, {2, 4, 4, 2});
  }
  SECTION("behind a batch norm, onto a residual") {
    check_layers([] { return Block(); }, {2, 3, 3, 4});
  }
  SECTION("kernels 1x1") {
    const auto make = [] {
      auto init = templates_initializer();
      Conv layer({.in_channels = 4, .out_channels = 3, .kernel_size = 1}, init);
      nn::share_templates<double, Cpu>({&layer.weight}, {.templates = 3, .inputs = 2}, init);
      return layer;
    };
    check_layers(make, {2, 3, 3, 4});
  }
}

TEST_CASE("templates in Linear: gradients of coefficients, templates and features", "[templates]") {
  const auto make = [](std::int64_t parts) {
    auto init = templates_initializer();
    Dense layer({.in_features = 6, .out_features = 4}, init);
    nn::share_templates<double, Cpu>({&layer.weight}, {.templates = 3, .inputs = 6 / parts}, init);
    if (parts == 1) nn::share_coefficients(layer.weight, *layer.bias);
    return layer;
  };
  SECTION("weight and bias of the same coefficients") {
    check_layers([&] { return make(1); }, {5, 6});
  }
  SECTION("a weight in two parts, and a bias that is a parameter") {
    check_layers([&] { return make(2); }, {5, 6});
  }
}

TEST_CASE("templates in Lstm: gradients of coefficients, templates and inputs through three steps", "[templates]") {
  const auto make = [](std::int64_t inputs) {
    auto init = templates_initializer();
    Recurrent net({.in_features = inputs, .hidden_features = 2, .layers = 2}, init);
    nn::share_templates<double, Cpu>(
        {&net.layers[0].ih.weight, &net.layers[0].hh.weight, &net.layers[1].ih.weight, &net.layers[1].hh.weight},
        {.templates = 3}, init);
    return net;
  };
  SECTION("four matrices of a bank, in one part") {
    check_layers([&] { return make(2); }, {3, 2, 2});
  }
  SECTION("the first in one part, the others in two") {
    check_layers([&] { return make(1); }, {3, 2, 1});
  }
}
