#include <lpw/models/wide_resnet.hpp>

#include <map>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/nn/flat_weights.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

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

template <class M>
std::int64_t parameter_count(M& network) {
  std::int64_t count = 0;
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) { count += parameter.shape().size(); });
  return count;
}

/// K networks that differ in their batch norms and heads, all with random weights.
template <class T>
void make_members(Network<T>& network, std::int64_t members) {
  nn::for_each_parameter(
      network, [](const std::string&, auto& parameter) { parameter.set_late_phase(parameter.group() != Group::none); });
  const auto flat = nn::lay_out(network, members);
  auto noise = random_tensor<Accumulate<T>>(flat->value.late.shape(), 9);
  for (std::int64_t i = 0; i < noise.size(); ++i) flat->value.late.data()[i] += noise.data()[i] / 4;
}

const Tensor<std::int32_t, Cpu>& some_labels() {
  static const auto labels = tensor_of<std::int32_t>({2, 3}, std::vector<std::int32_t>{3, 1, 4, 1, 5, 9});
  return labels;
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
  const auto flat = nn::flatten(network);
  const auto images = random_tensor<double>({2, 3, 8, 8, 3}, 1);
  const auto gradients = [&](std::int64_t chunk) {
    fill(flat->gradient.base, 0.0);
    fill(flat->gradient.late, 0.0);
    for (const MemberRange range : member_chunks(2, chunk)) {
      Tape tape({.members = range, .random = Philox(1, Stream::dropout)});
      tape.backward(cross_entropy(network.forward(tape.input(images.rows(range.first, range.count))),
                                  some_labels().rows(range.first, range.count)));
    }
    auto values = values_of(flat->gradient.base), late = values_of(flat->gradient.late);
    values.insert(values.end(), late.begin(), late.end());
    return values;
  };
  const auto whole = gradients(0), chunked = gradients(1);
  CHECK(largest_magnitude(whole) > 0.01);
  CHECK(relative_difference(chunked, whole) <= 1e-12);  // the same sums of some thousand terms, in another order
}

// A step of 1e-7 keeps nearly all of the 28,000 ReLUs on their side of the kink; it leaves rounding errors of about
// 1e-9 of the loss, a sum formed over ten layers, and the few ReLUs that do change sides shift the difference by their
// small share of the gradient.
TEST_CASE("WideResNet: gradients of sampled weights", "[wide_resnet]") {
  auto network = small_network<double>(0.3);
  make_members(network, 2);
  const auto flat = nn::flatten(network);
  const auto images = random_tensor<double>({2, 3, 8, 8, 3}, 1);
  const auto loss_on = [&](const Tape& tape) {
    return cross_entropy(network.forward(tape.input(images)), some_labels(), {.label_smoothing = 0.1});
  };
  const Philox random(1, Stream::dropout);
  Tape tape({.random = random});
  tape.backward(loss_on(tape));
  const auto loss = [&] {
    const Tape quiet({.record = false, .random = random});
    const auto members = loss_on(quiet).value();
    return members.data()[0] + members.data()[1];
  };
  std::uint32_t key = 0;
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    const auto rows = parameter.value().dim(0);
    for (std::int64_t k = 0; k < rows; ++k) {
      const auto i = static_cast<std::int64_t>(
          Philox(5, Stream::test).below(key++, static_cast<std::uint32_t>(parameter.shape().size())));
      double& weight = parameter.value().row(k)[i];
      const double before = weight, step = 1e-7;
      weight = before + step;
      const double above = loss();
      weight = before - step;
      const double below = loss();
      weight = before;
      const double expected = (above - below) / (2 * step), found = parameter.gradient().row(k)[i];
      INFO(name << " member " << k << " element " << i << ": expected " << expected << ", found " << found);
      CHECK(std::abs(found - expected) <= 1e-7 + 1e-6 * std::abs(expected));
    }
  });
}
