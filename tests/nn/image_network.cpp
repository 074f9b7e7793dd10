#include <lpw/models/catalogue.hpp>

#include <map>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>

#include "nn/image_networks.hpp"
#include "support/errors.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class T>
using AnyNetwork = nn::ImageNetwork<T, Cpu>;

/// A ResNet of basic blocks, one of bottlenecks, and a DenseNet, of a few channels; each kind of stem.
std::vector<nn::ImageNetworkOptions> tiny_networks(double dropout = 0) {
  return {
      nn::ResNetOptions{.blocks = {1, 2}, .width = 4, .classes = 10, .dropout = dropout},
      nn::ResNetOptions{
          .blocks = {1, 1}, .bottleneck = true, .width = 3, .stem = nn::Stem::small, .classes = 10, .dropout = dropout},
      nn::DenseNetOptions{
          .blocks = {2, 1}, .growth = 3, .width = 4, .bottleneck = 2, .classes = 10, .dropout = dropout}};
}

/// As many pixels as leave a few after the last stage.
Tensor<double, Cpu> images_for(const AnyNetwork<double>& network, std::int64_t members) {
  const auto* resnet = std::get_if<nn::ResNet<double, Cpu>>(&network.network);
  const std::int64_t size = resnet != nullptr && resnet->options.stem == nn::Stem::small ? 6 : 14;
  return random_tensor<double>({members, 3, size, size, 3}, 1);
}

std::int64_t conv_and_norm(std::int64_t in, std::int64_t out, std::int64_t size) {
  return size * size * in * out + 2 * out;
}

/// Weights of a ResNet by its definition.
std::int64_t expected_weights(const nn::ResNetOptions& o) {
  std::int64_t in = o.width, count = conv_and_norm(o.in_channels, in, o.stem == nn::Stem::large ? 7 : 3);
  for (std::size_t stage = 0; stage < o.blocks.size(); ++stage) {
    const std::int64_t width = o.width << stage, out = o.bottleneck ? 4 * width : width;
    for (std::int64_t i = 0; i < o.blocks[stage]; ++i) {
      count += o.bottleneck
                   ? conv_and_norm(in, width, 1) + conv_and_norm(width, width, 3) + conv_and_norm(width, out, 1)
                   : conv_and_norm(in, width, 3) + conv_and_norm(width, out, 3);
      if (in != out || (stage > 0 && i == 0)) count += conv_and_norm(in, out, 1);
      in = out;
    }
  }
  return count + in * o.classes + o.classes;
}

/// And of a DenseNet.
std::int64_t expected_weights(const nn::DenseNetOptions& o) {
  std::int64_t in = o.width, count = conv_and_norm(o.in_channels, in, o.stem == nn::Stem::large ? 7 : 3);
  for (std::size_t block = 0; block < o.blocks.size(); ++block) {
    for (std::int64_t i = 0; i < o.blocks[block]; ++i) {
      const std::int64_t within = o.bottleneck * o.growth;
      count += 2 * in + conv_and_norm(in, within, 1) + 9 * within * o.growth;
      in += o.growth;
    }
    if (block + 1 == o.blocks.size()) break;
    count += 2 * in + in * (in / 2);
    in /= 2;
  }
  return count + 2 * in + in * o.classes + o.classes;
}

std::int64_t expected_weights(const nn::ImageNetworkOptions& any) {
  if (const auto* resnet = std::get_if<nn::ResNetOptions>(&any)) return expected_weights(*resnet);
  return expected_weights(std::get<nn::DenseNetOptions>(any));
}

/// A network written out with operations and its weights' names, for images [1, B, H, W, C], in training.
struct WrittenOut {
  using X = Variable<double, Cpu>;

  explicit WrittenOut(AnyNetwork<double>& network) {
    nn::for_each_parameter(network,
                           [&](const std::string& name, auto& parameter) { weights[name] = parameter.value(); });
  }

  [[nodiscard]] X conv(const X& x, const std::string& name, Conv2dOptions options = {}) const {
    return conv2d(x, tape.input(weights.at(name + ".weight")), options);
  }
  [[nodiscard]] X norm(const X& x, const std::string& name) const {
    const auto& gamma = weights.at(name + ".weight");
    const RunningStatistics<double, Cpu> unused{clone(gamma), clone(gamma)};
    return batch_norm(x, tape.input(gamma), tape.input(weights.at(name + ".bias")), unused);
  }
  [[nodiscard]] X norm_relu(const X& x, const std::string& name) const { return relu(norm(x, name)); }
  [[nodiscard]] X head(const X& x, const std::string& name) const {
    return linear(global_average_pool(x), tape.input(weights.at(name + ".weight")),
                  tape.input(weights.at(name + ".bias")));
  }

  /// ResNet of two basic blocks in the second stage.
  [[nodiscard]] X basic(const X& images) const {
    const auto block = [&](const X& x, const std::string& name, std::int64_t stride) {
      const auto h = norm_relu(conv(x, name + ".conv1", {.stride = stride, .padding = 1}), name + ".bn1");
      const auto shortcut =
          stride == 1 ? x : norm(conv(x, name + ".downsample.0", {.stride = 2}), name + ".downsample.1");
      return relu(add(norm(conv(h, name + ".conv2", {.padding = 1}), name + ".bn2"), shortcut));
    };
    const auto stem = norm_relu(conv(images, "conv1", {.stride = 2, .padding = 3}), "bn1");
    const auto x = block(max_pool2d(stem, {.kernel_size = 3, .stride = 2, .padding = 1}), "layer1.0", 1);
    return head(block(block(x, "layer2.0", 2), "layer2.1", 1), "fc");
  }

  /// ResNet of a bottleneck in each of two stages.
  [[nodiscard]] X bottleneck(const X& images) const {
    const auto block = [&](const X& x, const std::string& name, std::int64_t stride) {
      const auto a = norm_relu(conv(x, name + ".conv1"), name + ".bn1");
      const auto b = norm_relu(conv(a, name + ".conv2", {.stride = stride, .padding = 1}), name + ".bn2");
      const auto shortcut = norm(conv(x, name + ".downsample.0", {.stride = stride}), name + ".downsample.1");
      return relu(add(norm(conv(b, name + ".conv3"), name + ".bn3"), shortcut));
    };
    return head(block(block(norm_relu(conv(images, "conv1", {.padding = 1}), "bn1"), "layer1.0", 1), "layer2.0", 2),
                "fc");
  }

  /// DenseNet of two layers and one.
  [[nodiscard]] X dense(const X& images) const {
    const auto added = [&](const X& x, const std::string& name) {
      const auto h = norm_relu(conv(norm_relu(x, name + ".norm1"), name + ".conv1"), name + ".norm2");
      return conv(h, name + ".conv2", {.padding = 1});
    };
    const auto stem = norm_relu(conv(images, "features.conv0", {.stride = 2, .padding = 3}), "features.norm0");
    const auto x = max_pool2d(stem, {.kernel_size = 3, .stride = 2, .padding = 1});
    const auto first = added(x, "features.denseblock1.denselayer1");
    const auto second = added(concat({x, first}, 4), "features.denseblock1.denselayer2");
    const auto block = norm_relu(concat({x, first, second}, 4), "features.transition1.norm");
    const auto half = average_pool2d(conv(block, "features.transition1.conv"), {.kernel_size = 2, .stride = 2});
    const auto last = added(half, "features.denseblock2.denselayer1");
    return head(norm_relu(concat({half, last}, 4), "features.norm5"), "classifier");
  }

  Tape tape;
  std::map<std::string, Tensor<double, Cpu>> weights;
};

}  // namespace

TEST_CASE("ResNet and DenseNet: names as in torchvision's state dicts", "[image_network]") {
  std::vector<std::string> names;
  for (const auto& options : tiny_networks()) {
    AnyNetwork<float> network(options, Philox(1));
    std::string all;
    nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
      if (name.ends_with(".weight")) all += name.substr(0, name.size() - 6) + ' ';
      const bool head = name.starts_with("fc.") || name.starts_with("classifier.");
      CHECK((parameter.group() == Group::head) == head);
    });
    names.push_back(all);
    CHECK(parameter_count(network) == expected_weights(options));
  }
  CHECK(names[0] ==
        "conv1. bn1. layer1.0.conv1. layer1.0.bn1. layer1.0.conv2. layer1.0.bn2. layer2.0.conv1. layer2.0.bn1. "
        "layer2.0.conv2. layer2.0.bn2. layer2.0.downsample.0. layer2.0.downsample.1. layer2.1.conv1. layer2.1.bn1. "
        "layer2.1.conv2. layer2.1.bn2. fc. ");
  CHECK(names[1] ==
        "conv1. bn1. layer1.0.conv1. layer1.0.bn1. layer1.0.conv2. layer1.0.bn2. layer1.0.conv3. layer1.0.bn3. "
        "layer1.0.downsample.0. layer1.0.downsample.1. layer2.0.conv1. layer2.0.bn1. layer2.0.conv2. layer2.0.bn2. "
        "layer2.0.conv3. layer2.0.bn3. layer2.0.downsample.0. layer2.0.downsample.1. fc. ");
  CHECK(names[2] ==
        "features.conv0. features.norm0. "
        "features.denseblock1.denselayer1.norm1. features.denseblock1.denselayer1.conv1. "
        "features.denseblock1.denselayer1.norm2. features.denseblock1.denselayer1.conv2. "
        "features.denseblock1.denselayer2.norm1. features.denseblock1.denselayer2.conv1. "
        "features.denseblock1.denselayer2.norm2. features.denseblock1.denselayer2.conv2. "
        "features.transition1.norm. features.transition1.conv. "
        "features.denseblock2.denselayer1.norm1. features.denseblock2.denselayer1.conv1. "
        "features.denseblock2.denselayer1.norm2. features.denseblock2.denselayer1.conv2. "
        "features.norm5. classifier. ");
}

TEST_CASE("ResNet and DenseNet: compute the papers' networks", "[image_network]") {
  std::vector<std::vector<double>> found, expected;
  std::size_t which = 0;
  for (const auto& options : tiny_networks()) {
    AnyNetwork<double> network(options, Philox(1));
    const WrittenOut plain(network);
    const auto images = plain.tape.input(images_for(network, 1));
    const auto logits = network.forward(images).value();
    const auto x = which == 0 ? plain.basic(images) : which == 1 ? plain.bottleneck(images) : plain.dense(images);
    CHECK(largest_magnitude(values_of(logits)) > 0.1);
    // A dozen layers whose sums of up to some hundred terms are taken in another order.
    CHECK(relative_difference(values_of(logits), values_of(x.value())) <= 1e-12);
    ++which;
  }
}

TEST_CASE("ResNet and DenseNet: member chunks give the gradients of one pass", "[image_network]") {
  for (const auto& options : tiny_networks(0.3)) {
    AnyNetwork<double> network(options, Philox(1));
    nn::attach_rank_one(network);
    make_members(network, 2);
    check_member_chunks(network, images_for(network, 2));
  }
}

TEST_CASE("ResNet and DenseNet: gradients of sampled weights", "[image_network]") {
  for (const auto& options : tiny_networks(0.3)) {
    AnyNetwork<double> network(options, Philox(1));
    nn::attach_rank_one(network);
    make_members(network, 2);
    check_sampled_gradients(network, images_for(network, 2));
  }
}

// Some ten convolutions, batch norms and the head round to T in turn, each output relative to its own size, and a few
// batch norms divide by a small deviation.
TEMPLATE_TEST_CASE("ResNet and DenseNet: every type agrees with double", "[image_network]", float, bfloat16) {
  for (const auto& options : tiny_networks()) {
    AnyNetwork<TestType> network(options, Philox(1));
    AnyNetwork<double> reference(options, Philox(1));
    const auto flat = nn::flatten(network);
    const auto flat_reference = nn::flatten(reference);
    for (std::int64_t i = 0; i < flat->value.base.size(); ++i)
      flat_reference->value.base.data()[i] = double(flat->value.base.data()[i]);
    auto wide = images_for(reference, 1);
    Tensor<TestType, Cpu> x(wide.shape());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      x.data()[i] = static_cast<TestType>(wide.data()[i]);
      wide.data()[i] = double(x.data()[i]);
    }
    const Tape tape;
    CHECK(relative_norm(values_of(network.forward(tape.input(x)).value()),
                        values_of(reference.forward(tape.input(wide)).value())) <= 20 * epsilon<TestType>());
  }
}

// Equal members have the plain network's outputs, and so has what they collapse to.
TEST_CASE("ResNet and DenseNet: released and collapsed they are what they were", "[image_network]") {
  for (const auto& options : tiny_networks()) {
    AnyNetwork<double> network(options, Philox(1));
    const auto images = images_for(network, 1);
    const auto logits = [&] { return values_of(network.forward(Tape::evaluation({0, 1}).input(images)).value()); };
    const auto before = logits();
    release(network, {.members = 3, .late = Selectors::parse("batchnorm,head,rank1")});
    CHECK(nn::members(network) == 3);
    CHECK(relative_difference(logits(), before) <= 1e-12);
    collapse(network);
    CHECK(nn::members(network) == 1);
    CHECK(relative_difference(logits(), before) <= 1e-12);
  }
}

TEST_CASE("ResNet and DenseNet: refuse impossible options", "[image_network]") {
  const auto message = [](const nn::ImageNetworkOptions& options) {
    return message_of<OptionError>([&] { AnyNetwork<double>(options, Philox(1)); });
  };
  CHECK(message(nn::ResNetOptions{.blocks = {}}) ==
        "ResNet: blocks is empty; expected how many there are in each stage");
  CHECK(message(nn::DenseNetOptions{.blocks = {6, 0}}) == "DenseNet: a stage of 0 blocks; each has 1 or more");
  CHECK(message(nn::ResNetOptions{.blocks = {1}, .classes = 0}) ==
        "ResNet: width 64, classes 0, in_channels 3; all must be positive");
  CHECK(message(nn::DenseNetOptions{.blocks = {1}, .growth = 0}) ==
        "DenseNet: growth 0, width 64, bottleneck 4, classes 1000, in_channels 3; all must be positive");
  CHECK(message(nn::ResNetOptions{.blocks = {1}, .dropout = 1}) == "Dropout: rate 1 is outside [0, 1)");
}

// Weights as torchvision's documentation counts them.
TEST_CASE("catalogue: networks by name", "[catalogue]") {
  const std::map<std::string, std::int64_t> weights{
      {"resnet18", 11689512},    {"resnet34", 21797672},    {"resnet50", 25557032},
      {"resnet101", 44549160},   {"resnet152", 60192808},   {"densenet121", 7978856},
      {"densenet161", 28681000}, {"densenet169", 14149480}, {"densenet201", 20013928}};
  for (const auto& [name, count] : weights) {
    INFO(name);
    CHECK(expected_weights(models::options_of(name)) == count);
  }
  const auto small =
      std::get<nn::ResNetOptions>(models::options_of("resnet18-cifar", {.classes = 7, .in_channels = 2}));
  CHECK(small.stem == nn::Stem::small);
  CHECK(expected_weights(small) == 11689512 - 64 * (49 * 3 - 9 * 2) - 513 * 993);
  CHECK(std::get<nn::DenseNetOptions>(models::options_of("densenet121-cifar", {.dropout = 0.1})).stem ==
        nn::Stem::small);
  const auto wide =
      std::get<nn::WideResNetOptions>(models::options_of("hyper-wrn-16-2", {.classes = 4, .dropout = 0.2}));
  CHECK((wide.depth == 16 && wide.widen == 2 && wide.templates && wide.classes == 4 && wide.dropout == 0.2));
  CHECK((models::has_templates("hyper-wrn-16-2") && models::plain_name("hyper-wrn-16-2") == "wrn-16-2"));
  CHECK((!models::has_templates("resnet50") && models::plain_name("resnet50") == "resnet50"));
  auto made = models::make<float, Cpu>("wrn-10-1", {.classes = 3}, Philox(1));
  CHECK(std::holds_alternative<nn::WideResNet<float, Cpu>>(made.network));
}

TEST_CASE("catalogue: an unknown name is told what there is", "[catalogue]") {
  for (const std::string name : {"", "resnet", "resnet51", "wrn-28", "wrn-28-10x", "wrn-028-10", "hyper-resnet18",
                                 "hyper-28-10", "resnet18-cifar-cifar", "-cifar", "wrn-16-4-cifar", "ResNet18"})
    CHECK(message_of<OptionError>([&] { (void)models::options_of(name); }) ==
          "`model` " + name +
              ": there is none of this name; expected wrn-DEPTH-WIDEN (such as wrn-28-10), hyper-wrn-DEPTH-WIDEN, "
              "resnet18, resnet34, resnet50, resnet101, resnet152, densenet121, densenet161, densenet169, "
              "densenet201, or resnet and densenet with -cifar behind their names");
}
