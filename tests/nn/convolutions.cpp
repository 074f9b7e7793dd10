// Convolution layers of sequences, and transposed ones.
#include <lpw/nn/conv1d.hpp>
#include <lpw/nn/conv_transpose1d.hpp>
#include <lpw/nn/conv_transpose2d.hpp>

#include <lpw/io/model.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include <lpw/nn/sequential.hpp>

#include "nn/released_layers.hpp"
#include "support/files.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class Layer, class LayerShape>
[[nodiscard]] Layer make_layer(const LayerShape& shape) {
  nn::Initializer init(Philox{1});
  return Layer(shape, init);
}

const nn::Conv1dShape conv1d_shape{
    .in_channels = 4, .out_channels = 6, .stride = 2, .padding = 1, .dilation = 2, .groups = 2, .bias = true};
const nn::ConvTranspose1dShape conv_transpose1d_shape{
    .in_channels = 2, .out_channels = 3, .stride = 2, .padding = 1, .output_padding = 1, .bias = true};
const nn::ConvTranspose2dShape conv_transpose2d_shape{.in_channels = 4,
                                                      .out_channels = 2,
                                                      .kernel_size = {2, 3},
                                                      .stride = {1, 2},
                                                      .padding = {0, 1},
                                                      .output_padding = {0, 1},
                                                      .groups = 2,
                                                      .bias = true};

using Sequences = nn::Conv1d<double, Cpu>;
using Longer = nn::ConvTranspose1d<double, Cpu>;
using Larger = nn::ConvTranspose2d<double, Cpu>;

}  // namespace

TEST_CASE("Conv1d and transposed convolutions: gradients with every kind of late-phase weight", "[conv2d]") {
  SECTION("Conv1d") {
    check_released_layers([] { return make_layer<Sequences>(conv1d_shape); }, {2, 8, 4}, true);
  }
  SECTION("ConvTranspose1d") {
    check_released_layers([] { return make_layer<Longer>(conv_transpose1d_shape); }, {2, 4, 2}, true);
  }
  SECTION("ConvTranspose2d") {
    check_released_layers([] { return make_layer<Larger>(conv_transpose2d_shape); }, {2, 3, 2, 4}, true);
  }
}

TEST_CASE("Conv1d and transposed convolutions: weights made of templates", "[conv2d]") {
  nn::Initializer init(Philox{2});
  auto sequences = make_layer<Sequences>(conv1d_shape);
  nn::share_templates<double, Cpu>({&sequences.weight}, {.templates = 3, .inputs = 1}, init);
  check_layer(sequences, {2, 8, 4}, all_members);
  auto larger = make_layer<Larger>(conv_transpose2d_shape);
  nn::share_templates<double, Cpu>({&larger.weight}, {.templates = 2}, init);
  check_layer(larger, {2, 3, 2, 4}, all_members);
}

TEST_CASE("Conv1d and transposed convolutions: stored in PyTorch's order, and read again", "[conv2d]") {
  const TemporaryFolder folder;
  nn::Sequential network(make_layer<Sequences>(conv1d_shape), make_layer<Longer>(conv_transpose1d_shape),
                         make_layer<Larger>(conv_transpose2d_shape));
  io::save_safetensors(folder / "f", network);
  const auto content = io::load_safetensors(folder / "f");
  CHECK(content.tensors.at("0.weight").shape == Shape{6, 2, 3});  // [O, I / groups, k]
  CHECK(content.tensors.at("1.weight").shape == Shape{2, 3, 3});  // [I, O, k]
  CHECK(content.tensors.at("2.weight").shape == Shape{4, 1, 2, 3});
  const auto stored = content.tensors.get_converted<double>("0.weight", {6, 2, 3});
  const auto& own = std::get<0>(network.modules).weight.value();
  for (std::int64_t o = 0; o < 6; ++o)
    for (std::int64_t k = 0; k < 3; ++k)
      for (std::int64_t i = 0; i < 2; ++i) CHECK(stored.data()[(o * 2 + i) * 3 + k] == own.data()[(o * 3 + k) * 2 + i]);
  nn::Initializer other(Philox{5});
  nn::Sequential loaded(Sequences(conv1d_shape, other), Longer(conv_transpose1d_shape, other),
                        Larger(conv_transpose2d_shape, other));
  io::load_safetensors(folder / "f", loaded);
  const auto weights = [](auto& net) {
    std::vector<std::vector<double>> all;
    nn::for_each_parameter(net,
                           [&](const std::string&, auto& parameter) { all.push_back(values_of(parameter.value())); });
    return all;
  };
  CHECK(weights(loaded) == weights(network));
}

TEST_CASE("Conv1d and transposed convolutions: initial deviations, and shapes that cannot work", "[conv2d]") {
  // He's: an output sums in / groups * k inputs, of a transposed convolution those over the stride.
  const auto relative_deviation = [](const auto& weight, double fan_in) {
    double squares = 0;
    for (const double value : values_of(weight.value())) squares += value * value;
    return std::sqrt(squares / static_cast<double>(weight.value().size()) / (2 / fan_in));
  };
  const auto spread = 5 / std::sqrt(2.0 * 64 * 64 * 3);  // five standard errors of a deviation from so many numbers
  const auto wide = make_layer<Sequences>(nn::Conv1dShape{.in_channels = 64, .out_channels = 64});
  CHECK(std::abs(relative_deviation(wide.weight, 64 * 3) - 1) <= spread);
  const auto twice = make_layer<Longer>(nn::ConvTranspose1dShape{.in_channels = 64, .out_channels = 64, .stride = 2});
  CHECK(std::abs(relative_deviation(twice.weight, 64 * 3 / 2) - 1) <= spread);

  CHECK_THROWS_WITH(make_layer<Sequences>(nn::Conv1dShape{.in_channels = 4, .out_channels = 6, .groups = 4}),
                    "Conv1d: groups 4 must divide in_channels 4 and out_channels 6");
  CHECK_THROWS_AS(make_layer<Longer>(nn::ConvTranspose1dShape{.in_channels = 4, .out_channels = 6, .groups = 0}),
                  OptionError);
  CHECK_THROWS_AS(make_layer<Larger>(nn::ConvTranspose2dShape{.in_channels = 4, .out_channels = 6, .stride = 0}),
                  OptionError);
  CHECK_THROWS_WITH(make_layer<Larger>(nn::ConvTranspose2dShape{
                        .in_channels = 4, .out_channels = 6, .stride = 2, .output_padding = {1, 2}}),
                    "ConvTranspose2d: output_padding 1x2 with stride 2; it is 0 or more, and less than the stride");
  CHECK_THROWS_WITH(
      make_layer<Longer>(nn::ConvTranspose1dShape{.in_channels = 4, .out_channels = 6, .output_padding = 1}),
      "ConvTranspose1d: output_padding 1 with stride 1; it is 0 or more, and less than the stride");
}
