// Wide residual networks for 32x32 images (Zagoruyko & Komodakis 2016, "Wide Residual Networks"), pre-activation, as in
// the method's runs: WRN-d-w has depth d = 6n + 4, n blocks in each of three groups of 16w, 32w and 64w channels, at
// full, half and quarter resolution. With `templates` it is the method's hypernetwork: the same layers, their weights
// made of templates.
#pragma once

#include <optional>
#include <vector>

#include <lpw/nn/activation.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// WRN-depth-widen, and what its first and last layers fit.
struct WideResNetOptions {
  std::int64_t depth = 28;       // 6n + 4
  std::int64_t widen = 10;       // channels of the groups are 16, 32 and 64 times that
  std::int64_t classes = 10;     // outputs of the last layer
  std::int64_t in_channels = 3;  // of images
  double dropout = 0;            // between the two convolutions of a block
  bool templates = false;        // all weights but batch norm's are made of templates
};

/// x -> conv2(relu(bn2(conv1(a)))) + shortcut, a = relu(bn1(x)); the shortcut is x, or a 1x1 convolution of a where the
/// shape changes.
template <class T, class D>
struct WideBlock {
  using value_type = T;
  using device_type = D;

  /// From `in` to `out` channels.
  WideBlock(std::int64_t in, std::int64_t out, std::int64_t stride, double dropout_rate, Initializer& init)
      : bn1(in, {.relu = true}),
        conv1({.in_channels = in, .out_channels = out, .stride = stride, .padding = 1}, init),
        bn2(out, {.relu = true}),
        dropout(dropout_rate),
        conv2({.in_channels = out, .out_channels = out, .padding = 1}, init) {
    if (in != out || stride != 1)
      shortcut.emplace(Conv2dShape{.in_channels = in, .out_channels = out, .kernel_size = 1, .stride = stride}, init);
  }

  /// [K, B, H, W, in] -> [K, B, Ho, Wo, out], H and W over the stride, rounded up.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto a = bn1.forward(x);
    const auto h = dropout.forward(bn2.forward(conv1.forward(a)));
    return conv2.forward(h, shortcut ? shortcut->forward(a) : x);
  }

  template <class F>
  void visit(F&& f) {
    f("bn1", bn1);
    f("conv1", conv1);
    f("bn2", bn2);
    f("conv2", conv2);
    if (shortcut) f("shortcut", *shortcut);
  }

  BatchNorm<T, D> bn1;                   // with ReLU
  Conv2d<T, D> conv1;                    // 3x3, with the stride
  BatchNorm<T, D> bn2;                   // with ReLU
  Dropout<T, D> dropout;                 // between the convolutions
  Conv2d<T, D> conv2;                    // 3x3
  std::optional<Conv2d<T, D>> shortcut;  // 1x1, of a where the shape changes
};

/// WRN-d-w: conv1, three groups of blocks, batch norm, ReLU, mean over the image, and fc, which release can replicate
/// as the head.
template <class T, class D>
struct WideResNet {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights drawn from `random`. Throws OptionError unless depth = 6n + 4, n >= 1, and widen, classes,
  /// in_channels >= 1.
  WideResNet(const WideResNetOptions& o, Philox random) : WideResNet(o, Initializer(random)) {}

  /// Images [K, B, H, W, in_channels] -> logits [K, B, classes].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& images) { return fc.forward(features(images)); }

  /// Images [K, B, H, W, in_channels] -> what the head reads, [K, B, 64 widen].
  [[nodiscard]] Variable<T, D> features(const Variable<T, D>& images) {
    auto x = conv1.forward(images);
    for (auto& block : blocks) x = block.forward(x);
    return global_average_pool(bn.forward(x));
  }

  template <class F>
  void visit(F&& f) {
    f("conv1", conv1);
    const std::size_t per_group = blocks.size() / 3;
    for (std::size_t i = 0; i < blocks.size(); ++i)
      f(to_text("layer", i / per_group + 1, '.', i % per_group), blocks[i]);
    f("bn", bn);
    f("fc", fc);
  }

  WideResNetOptions options;            // as it was made
  Conv2d<T, D> conv1;                   // 3x3, to 16 channels
  std::vector<WideBlock<T, D>> blocks;  // group after group
  BatchNorm<T, D> bn;                   // behind the last block, with ReLU
  Linear<T, D> fc;                      // the head

 private:
  WideResNet(const WideResNetOptions& o, Initializer init)
      : options(checked(o)),
        conv1({.in_channels = o.in_channels, .out_channels = 16, .padding = 1}, init),
        blocks(make_blocks(o, init)),
        bn(64 * o.widen, {.relu = true}),
        fc({.in_features = 64 * o.widen, .out_features = o.classes, .head = true}, init) {
    if (o.templates) make_of_templates(init);
  }

  /// Banks as in the method's runs. The 3x3 kernels of a group are made in two parts of 2 (2n - 1) templates, as many
  /// as parts; the first of groups 2 and 3, half as deep, in one part of the same. What has a shape of its own has a
  /// bank of its own.
  void make_of_templates(Initializer& init) {
    const std::int64_t n = (options.depth - 4) / 6, layers = 2 * n - 1, ends = 10;
    share_templates<W, D>({&conv1.weight}, {.templates = ends}, init);
    for (std::int64_t group = 0; group < 3; ++group) {
      auto& first = blocks[to_size(group * n)];
      std::vector<DenseWeight<W, D>*> kernels;
      if (group == 0) {
        share_templates<W, D>({&first.conv1.weight}, {.templates = layers}, init);
      } else {
        kernels.push_back(&first.conv1.weight);
      }
      if (first.shortcut) share_templates<W, D>({&first.shortcut->weight}, {.templates = layers}, init);
      for (std::int64_t i = 0; i < n; ++i) {
        auto& block = blocks[to_size(group * n + i)];
        if (i > 0) kernels.push_back(&block.conv1.weight);
        kernels.push_back(&block.conv2.weight);
      }
      const std::int64_t channels = (std::int64_t{16} << group) * options.widen;
      share_templates(kernels, {.templates = 2 * layers, .inputs = channels / 2}, init);
    }
    share_templates<W, D>({&fc.weight}, {.templates = ends}, init);
    share_coefficients(fc.weight, *fc.bias);
  }

  static const WideResNetOptions& checked(const WideResNetOptions& o) {
    require<OptionError>(o.depth >= 10 && (o.depth - 4) % 6 == 0, "WideResNet: depth ", o.depth,
                         " is not 6n + 4 with n >= 1 (10, 16, 22, 28, 40, ...)");
    require<OptionError>(o.widen >= 1 && o.classes >= 1 && o.in_channels >= 1, "WideResNet: widen ", o.widen,
                         ", classes ", o.classes, ", in_channels ", o.in_channels, "; all must be positive");
    return o;
  }

  static std::vector<WideBlock<T, D>> make_blocks(const WideResNetOptions& o, Initializer& init) {
    std::vector<WideBlock<T, D>> blocks;
    std::int64_t channels = 16;
    for (int group = 0; group < 3; ++group)
      for (std::int64_t i = 0; i < (o.depth - 4) / 6; ++i) {
        const std::int64_t out = (std::int64_t{16} << group) * o.widen;
        blocks.emplace_back(channels, out, group > 0 && i == 0 ? 2 : 1, o.dropout, init);
        channels = out;
      }
    return blocks;
  }
};

}  // namespace lpw::inline LPW_ABI::nn
