// Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition"), post-activation, with the layers
// and the names of torchvision's: of the bottleneck blocks the 3x3 convolution has the stride.
#pragma once

#include <optional>
#include <vector>

#include <lpw/models/stem.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Stages of blocks, of which each but the first halves the image and doubles the channels, and what the first and last
/// layers fit. As it is, ResNet-18.
struct ResNetOptions {
  std::vector<std::int64_t> blocks = {2, 2, 2, 2};  // of each stage
  bool bottleneck = false;       // blocks of three convolutions, with four times the channels at last
  std::int64_t width = 64;       // channels of the stem, and of the first stage within its blocks
  Stem stem = Stem::large;       // the first layers
  std::int64_t classes = 1000;   // outputs of the last layer
  std::int64_t in_channels = 3;  // of images
  double dropout = 0;            // before the last convolution of a block
};

/// relu(x' + bn(conv(...relu(bn(conv(x)))))), of two 3x3 convolutions or, as a bottleneck, of 1x1, 3x3 and 1x1; x' is
/// x, or batch norm of a 1x1 convolution of it where the shape changes.
template <class T, class D>
struct ResidualBlock {
  using value_type = T;
  using device_type = D;

  /// Of a block with `width` channels within: at last these or, of a bottleneck, four times as many.
  ResidualBlock(std::int64_t in, std::int64_t width, std::int64_t stride, const ResNetOptions& o, Initializer& init)
      : conv1(first(in, width, stride, o.bottleneck), init),
        bn1(width, {.relu = true}),
        conv2({.in_channels = width, .out_channels = width, .stride = o.bottleneck ? stride : 1, .padding = 1}, init),
        bn2(width, {.relu = true}),
        dropout(o.dropout) {
    const std::int64_t out = o.bottleneck ? 4 * width : width;
    if (o.bottleneck) {
      conv3.emplace(Conv2dShape{.in_channels = width, .out_channels = out, .kernel_size = 1}, init);
      bn3.emplace(out, BatchNormOptions{.relu = true});
    }
    if (in == out && stride == 1) return;
    downsample.emplace(Conv2dShape{.in_channels = in, .out_channels = out, .kernel_size = 1, .stride = stride}, init);
    downsample_norm.emplace(out);
  }

  /// [K, B, H, W, in] -> [K, B, Ho, Wo, out], H and W over the stride, rounded up.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto shortcut = downsample ? downsample_norm->forward(downsample->forward(x)) : x;
    const auto h = bn1.forward(conv1.forward(x));
    if (!conv3) return bn2.forward(conv2.forward(dropout.forward(h)), shortcut);
    return bn3->forward(conv3->forward(dropout.forward(bn2.forward(conv2.forward(h)))), shortcut);
  }

  template <class F>
  void visit(F&& f) {
    f("conv1", conv1);
    f("bn1", bn1);
    f("conv2", conv2);
    f("bn2", bn2);
    if (conv3) f("conv3", *conv3), f("bn3", *bn3);
    if (downsample) f("downsample.0", *downsample), f("downsample.1", *downsample_norm);
  }

  Conv2d<T, D> conv1;                              // 3x3, or of a bottleneck 1x1
  BatchNorm<T, D> bn1;                             // with ReLU
  Conv2d<T, D> conv2;                              // 3x3
  BatchNorm<T, D> bn2;                             // with ReLU
  Dropout<T, D> dropout;                           // before the last convolution
  std::optional<Conv2d<T, D>> conv3;               // 1x1, of a bottleneck
  std::optional<Conv2d<T, D>> downsample;          // 1x1, of x where the shape changes
  std::optional<BatchNorm<T, D>> bn3;              // behind conv3, with ReLU
  std::optional<BatchNorm<T, D>> downsample_norm;  // behind downsample

 private:
  static Conv2dShape first(std::int64_t in, std::int64_t width, std::int64_t stride, bool bottleneck) {
    if (bottleneck) return {.in_channels = in, .out_channels = width, .kernel_size = 1};
    return {.in_channels = in, .out_channels = width, .stride = stride, .padding = 1};
  }
};

/// The stem, stages of blocks, mean over the image, and fc, which release can replicate as the head.
template <class T, class D>
struct ResNet {
  using value_type = T;
  using device_type = D;

  /// He-normal weights drawn from `random`. Throws OptionError unless there is a stage, each has a block, and width,
  /// classes, in_channels >= 1.
  ResNet(const ResNetOptions& o, Philox random) : ResNet(o, Initializer(random)) {}

  /// Images [K, B, H, W, in_channels] -> logits [K, B, classes].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& images) { return fc.forward(features(images)); }

  /// Images [K, B, H, W, in_channels] -> what the head reads, [K, B, C].
  [[nodiscard]] Variable<T, D> features(const Variable<T, D>& images) {
    auto x = apply_stem(options.stem, bn1.forward(conv1.forward(images)));
    for (auto& block : blocks) x = block.forward(x);
    return global_average_pool(x);
  }

  template <class F>
  void visit(F&& f) {
    f("conv1", conv1);
    f("bn1", bn1);
    auto block = blocks.begin();
    for (std::size_t stage = 0; stage < options.blocks.size(); ++stage)
      for (std::int64_t i = 0; i < options.blocks[stage]; ++i) f(to_text("layer", stage + 1, '.', i), *block++);
    f("fc", fc);
  }

  ResNetOptions options;                    // as it was made
  Conv2d<T, D> conv1;                       // of the stem
  BatchNorm<T, D> bn1;                      // of the stem, with ReLU
  std::vector<ResidualBlock<T, D>> blocks;  // stage after stage
  Linear<T, D> fc;                          // the head

 private:
  ResNet(const ResNetOptions& o, Initializer init)
      : options(checked(o)),
        conv1(stem_shape(o.stem, o.in_channels, o.width), init),
        bn1(o.width, {.relu = true}),
        blocks(make_blocks(o, init)),
        fc({.in_features = width_of(o, o.blocks.size() - 1) * (o.bottleneck ? 4 : 1),
            .out_features = o.classes,
            .head = true},
           init) {}

  static const ResNetOptions& checked(const ResNetOptions& o) {
    require_stages("ResNet", o.blocks);
    require<OptionError>(o.width >= 1 && o.classes >= 1 && o.in_channels >= 1, "ResNet: width ", o.width, ", classes ",
                         o.classes, ", in_channels ", o.in_channels, "; all must be positive");
    return o;
  }

  static std::int64_t width_of(const ResNetOptions& o, std::size_t stage) { return o.width << stage; }

  static std::vector<ResidualBlock<T, D>> make_blocks(const ResNetOptions& o, Initializer& init) {
    std::vector<ResidualBlock<T, D>> blocks;
    std::int64_t channels = o.width;
    for (std::size_t stage = 0; stage < o.blocks.size(); ++stage)
      for (std::int64_t i = 0; i < o.blocks[stage]; ++i) {
        const std::int64_t width = width_of(o, stage);
        blocks.emplace_back(channels, width, stage > 0 && i == 0 ? 2 : 1, o, init);
        channels = o.bottleneck ? 4 * width : width;
      }
    return blocks;
  }
};

}  // namespace lpw::inline LPW_ABI::nn
