#include <lpw/models/wide_resnet.hpp>

#include <map>

#include "nn/image_networks.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class T>
using Network = nn::WideResNet<T, Cpu>;

template <class T>
Network<T> small_network(double dropout = 0) {
  return Network<T>({.depth = 10, .widen = 1, .dropout = dropout}, Philox{1});
}

/// Weights of WRN-d-w by its definition: convolutions without bias, a batch norm before each but the first, a last one,
/// and the head.
std::int64_t expected_parameters(const nn::WideResNetOptions& o) {
  std::int64_t in = 16, count = 9 * o.in_channels * 16;
  for (std::int64_t group = 0; group < 3; ++group) {
    const std::int64_t out = (16 << group) * o.widen;
    for (std::int64_t block = 0; block < (o.depth - 4) / 6; ++block) {
      count += 2 * in + 9 * in * out + 2 * out + 9 * out * out;
      if (in != out || (group > 0 && block == 0)) count += in * out;
      in = out;
    }
  }
  return count + 2 * in + in * o.classes + o.classes;
}

}  // namespace

TEST_CASE("WideResNet: names as in a state dict", "[wide_resnet]") {
  auto network = small_network<float>();
  std::string names, buffers;
  nn::for_each_parameter(network, [&](const std::string& name, auto&) { names += name + ' '; });
  nn::for_each_buffer(network, [&](const std::string& name, auto&) { buffers += name + ' '; });
  CHECK(names ==
        "conv1.weight "
        "layer1.0.bn1.weight layer1.0.bn1.bias layer1.0.conv1.weight layer1.0.bn2.weight layer1.0.bn2.bias "
        "layer1.0.conv2.weight "
        "layer2.0.bn1.weight layer2.0.bn1.bias layer2.0.conv1.weight layer2.0.bn2.weight layer2.0.bn2.bias "
        "layer2.0.conv2.weight "
        "layer2.0.shortcut.weight "
        "layer3.0.bn1.weight layer3.0.bn1.bias layer3.0.conv1.weight layer3.0.bn2.weight layer3.0.bn2.bias "
        "layer3.0.conv2.weight "
        "layer3.0.shortcut.weight "
        "bn.weight bn.bias fc.weight fc.bias ");
  CHECK(buffers ==
        "layer1.0.bn1.running_mean layer1.0.bn1.running_var layer1.0.bn2.running_mean layer1.0.bn2.running_var "
        "layer2.0.bn1.running_mean layer2.0.bn1.running_var layer2.0.bn2.running_mean layer2.0.bn2.running_var "
        "layer3.0.bn1.running_mean layer3.0.bn1.running_var layer3.0.bn2.running_mean layer3.0.bn2.running_var "
        "bn.running_mean bn.running_var ");
  CHECK(network.fc.weight.group() == Group::head);
  CHECK(network.bn.weight.group() == Group::batch_norm);
  CHECK(network.conv1.weight.group() == Group::none);
}

TEST_CASE("WideResNet: number of parameters", "[wide_resnet]") {
  for (const nn::WideResNetOptions& options :
       {nn::WideResNetOptions{.depth = 10, .widen = 1}, nn::WideResNetOptions{.depth = 16, .widen = 4},
        nn::WideResNetOptions{.depth = 22, .widen = 2, .classes = 100, .in_channels = 1}}) {
    Network<float> network(options, Philox{1});
    CHECK(parameter_count(network) == expected_parameters(options));
  }
  // The paper's table of models: 2.7 M and 36.5 M.
  CHECK(expected_parameters({.depth = 16, .widen = 4}) == 2748890);
  CHECK(expected_parameters({.depth = 28, .widen = 10}) == 36479194);
}

TEST_CASE("WideResNet: WRN-28-10 has 36.5 million parameters", "[wide_resnet][slow]") {
  Network<float> network({.depth = 28, .widen = 10}, Philox{1});
  CHECK(parameter_count(network) == 36479194);
}

TEST_CASE("WideResNet: refuses impossible depths and widths", "[wide_resnet]") {
  for (const std::int64_t depth : {4, 9, 11, 27, -2})
    CHECK_THROWS_AS(Network<float>({.depth = depth}, Philox{1}), OptionError);
  CHECK_THROWS_WITH(Network<float>({.depth = 20}, Philox{1}),
                    "WideResNet: depth 20 is not 6n + 4 with n >= 1 (10, 16, 22, 28, 40, ...)");
  CHECK_THROWS_AS(Network<float>({.widen = 0}, Philox{1}), OptionError);
  CHECK_THROWS_AS(Network<float>({.classes = 0}, Philox{1}), OptionError);
  CHECK_THROWS_AS(Network<float>({.in_channels = 0}, Philox{1}), OptionError);
  CHECK_THROWS_AS(Network<float>({.dropout = 1}, Philox{1}), OptionError);
}

// The paper's pre-activation network, written out with operations and the weights' names.
TEST_CASE("WideResNet: computes the paper's network", "[wide_resnet]") {
  auto network = small_network<double>();
  std::map<std::string, Tensor<double, Cpu>> weights;
  nn::for_each_parameter(network,
                         [&](const std::string& name, auto& parameter) { weights.emplace(name, parameter.value()); });
  const Tape tape;
  const auto conv = [&](const auto& x, const std::string& name, Conv2dOptions options) {
    return conv2d(x, tape.input(weights.at(name + ".weight")), options);
  };
  const auto norm_relu = [&](const auto& x, const std::string& name) {
    const auto gamma = weights.at(name + ".weight");
    const RunningStatistics<double, Cpu> unused{clone(gamma), clone(gamma)};
    return batch_norm(x, tape.input(gamma), tape.input(weights.at(name + ".bias")), unused, {.relu = true});
  };
  const auto images = tape.input(random_tensor<double>({1, 4, 8, 8, 3}, 1));
  auto x = conv(images, "conv1", {.padding = 1});
  for (int group = 1; group <= 3; ++group) {
    const std::string block = to_text("layer", group, ".0.");
    const std::int64_t stride = group == 1 ? 1 : 2;
    const auto a = norm_relu(x, block + "bn1");
    const auto h = norm_relu(conv(a, block + "conv1", {.stride = stride, .padding = 1}), block + "bn2");
    x = add(conv(h, block + "conv2", {.padding = 1}), group == 1 ? x : conv(a, block + "shortcut", {.stride = stride}));
  }
  const auto expected = linear(global_average_pool(norm_relu(x, "bn")), tape.input(weights.at("fc.weight")),
                               tape.input(weights.at("fc.bias")));
  CHECK(values_of(network.forward(images).value()) == values_of(expected.value()));
}

TEST_CASE("WideResNet: shapes, at any image size", "[wide_resnet]") {
  Network<float> network({.depth = 10, .widen = 2, .classes = 7, .in_channels = 1}, Philox{1});
  const Tape tape = Tape::evaluation();
  for (const std::int64_t size : {4, 9, 32})
    CHECK(network.forward(tape.input(random_tensor<float>({1, 3, size, size, 1}, 1))).shape() == Shape{1, 3, 7});
  CHECK_THROWS_AS(network.forward(tape.input(random_tensor<float>({1, 3, 8, 8, 3}, 1))), ShapeError);
}

// 17 convolutions, batch norms and the head round to T in turn, each output relative to its own size: about sqrt(17)
// epsilons, and a few more where batch norm divides by a small deviation. The factor allows for five times that.
TEMPLATE_TEST_CASE("WideResNet: every type agrees with double", "[wide_resnet]", float, bfloat16) {
  auto network = small_network<TestType>();
  auto reference = small_network<double>();
  const auto flat = nn::flatten(network);
  const auto flat_reference = nn::flatten(reference);
  for (std::int64_t i = 0; i < flat->value.base.size(); ++i)
    flat_reference->value.base.data()[i] = double(flat->value.base.data()[i]);
  Tensor<TestType, Cpu> x = random_tensor<TestType>({1, 16, 16, 16, 3}, 1);
  Tensor<double, Cpu> wide(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) wide.data()[i] = double(x.data()[i]);
  const Tape tape;
  const auto found = values_of(network.forward(tape.input(x)).value()),
             expected = values_of(reference.forward(tape.input(wide)).value());
  CHECK(relative_norm(found, expected) <= 20 * epsilon<TestType>());
}

TEST_CASE("WideResNet: member chunks give the gradients of one pass", "[wide_resnet]") {
  auto network = small_network<double>(0.3);
  make_members(network, 2);
  check_member_chunks(network, random_tensor<double>({2, 3, 8, 8, 3}, 1));
}

TEST_CASE("WideResNet: gradients of sampled weights", "[wide_resnet]") {
  auto network = small_network<double>(0.3);
  make_members(network, 2);
  check_sampled_gradients(network, random_tensor<double>({2, 3, 8, 8, 3}, 1));
}
