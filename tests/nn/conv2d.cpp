// Convolution layers with all options and forms of late-phase weights.
#include <lpw/nn/conv2d.hpp>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/forms/share_templates.hpp>

#include "nn/released_layers.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

const nn::Conv2dShape conv2d_shapes[] = {
    {.in_channels = 2, .out_channels = 3, .kernel_size = {2, 3}, .stride = {2, 1}, .padding = {0, 1}, .bias = true},
    {.in_channels = 4, .out_channels = 4, .padding = 1, .groups = 4, .bias = true},
    {.in_channels = 4, .out_channels = 2, .kernel_size = {3, 2}, .padding = 2, .dilation = {2, 1}, .groups = 2}};

[[nodiscard]] auto make_conv2d(const nn::Conv2dShape& shape) {
  nn::Initializer init(Philox{1});
  return nn::Conv2d<double, Cpu>(shape, init);
}

}  // namespace

TEST_CASE("Conv2d: gradients with options, a bias and every kind of late-phase weight", "[conv2d]") {
  for (const auto& shape : conv2d_shapes) {
    INFO("case " << &shape - conv2d_shapes);
    check_released_layers([&] { return make_conv2d(shape); }, {2, 5, 4, shape.in_channels}, shape.bias);
  }
}

TEST_CASE("Conv2d: PyTorch's names and shapes, and a bias that patterns select", "[conv2d]") {
  auto layer = make_conv2d(conv2d_shapes[1]);
  CHECK(layer.weight.shape() == Shape{4, 3, 3, 1});
  CHECK(layer.bias->shape() == Shape{4});
  release(layer, {.members = 2, .late = Selectors::parse("bias")});
  CHECK(layer.weight.value().dim(0) == 1);
  CHECK(layer.bias->value().dim(0) == 2);
  CHECK(layer.bias->late_phase());
}

TEST_CASE("Conv2d: templates are shared by layers with groups of one shape, and refused for others", "[conv2d]") {
  nn::Initializer init(Philox{2});
  auto depthwise = make_conv2d(conv2d_shapes[1]), same = make_conv2d(conv2d_shapes[1]), other = make_conv2d({4, 4});
  nn::share_templates<double, Cpu>({&depthwise.weight, &same.weight}, {.templates = 2}, init);
  check_layer(depthwise, {2, 3, 3, 4}, all_members);
  CHECK_NOTHROW(nn::share_templates<double, Cpu>({&same.weight, &other.weight}, {.templates = 2}, init));
  auto wide = make_conv2d({.in_channels = 4, .out_channels = 4, .kernel_size = {3, 2}});
  CHECK_THROWS_WITH((nn::share_templates<double, Cpu>({&other.weight, &wide.weight}, {.templates = 2}, init)),
                    "share_templates: a weight [4 3 2 4] in a bank of templates [4 3 3 4]; only its last extent may be "
                    "another, a multiple");
}

TEST_CASE("Conv2d: a bias is added to a residual too", "[conv2d]") {
  auto layer = make_conv2d({.in_channels = 3, .out_channels = 3, .padding = 1, .bias = true});
  fill(layer.bias->value(), 2.0);
  const Tape tape = Tape::evaluation();
  const auto x = tape.input(random_tensor<double>({1, 2, 4, 4, 3}, 1));
  const auto with = layer.forward(x, x).value(), expected = add(layer.forward(x), x).value();
  CHECK(largest_difference(with, expected) <= 8 * epsilon<double>());  // two sums below 8 in another order
}

TEST_CASE("Conv2d: shapes that cannot work", "[conv2d]") {
  CHECK_THROWS_WITH(make_conv2d({.in_channels = 4, .out_channels = 6, .groups = 4}),
                    "Conv2d: groups 4 must divide in_channels 4 and out_channels 6");
  CHECK_THROWS_WITH(make_conv2d({.in_channels = 4, .out_channels = 6, .dilation = {1, 0}}),
                    "Conv2d: dilation 1x0 must be positive");
  CHECK_THROWS_AS(make_conv2d({.in_channels = 4, .out_channels = 6, .kernel_size = {0, 1}}), OptionError);
  CHECK_THROWS_AS(make_conv2d({.in_channels = 4, .out_channels = 6, .groups = 0}), OptionError);
}
