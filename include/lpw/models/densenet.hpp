// Densely connected networks (Huang et al. 2017, "Densely Connected Convolutional Networks"), with the layers and the
// names of torchvision's: pre-activation bottleneck layers, and transitions that halve the channels and the image.
//
// Each layer's result is put behind the channels there are, a copy of them: the batch norms of all layers are different
// functions of them, so that they are read anew in any case.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <lpw/autograd/average_pooling.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/models/stem.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Blocks of layers with transitions between them, and what the first and last layers fit. As it is, DenseNet-121.
struct DenseNetOptions {
  std::vector<std::int64_t> blocks = {6, 12, 24, 16};  // layers of each block
  std::int64_t growth = 32;                            // channels that a layer adds
  std::int64_t width = 64;                             // channels of the stem
  std::int64_t bottleneck = 4;                         // a layer's 1x1 convolution has so many times `growth` channels
  Stem stem = Stem::large;                             // the first layers
  std::int64_t classes = 1000;                         // outputs of the last layer
  std::int64_t in_channels = 3;                        // of images
  double dropout = 0;                                  // of what a layer adds
};

/// [x, conv2(relu(norm2(conv1(relu(norm1(x))))))] along the channels, of a 1x1 and a 3x3 convolution.
template <class T, class D>
struct DenseLayer {
  using value_type = T;
  using device_type = D;

  /// From `in` channels to in + growth.
  DenseLayer(std::int64_t in, const DenseNetOptions& o, Initializer& init)
      : norm1(in, {.relu = true}),
        conv1({.in_channels = in, .out_channels = o.bottleneck * o.growth, .kernel_size = 1}, init),
        norm2(o.bottleneck * o.growth, {.relu = true}),
        conv2({.in_channels = o.bottleneck * o.growth, .out_channels = o.growth, .padding = 1}, init),
        dropout(o.dropout) {}

  /// [K, B, H, W, in] -> [K, B, H, W, in + growth].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto h = conv2.forward(norm2.forward(conv1.forward(norm1.forward(x))));
    return concat<T, D>({x, dropout.forward(h)}, -1);
  }

  template <class F>
  void visit(F&& f) {
    f("norm1", norm1);
    f("conv1", conv1);
    f("norm2", norm2);
    f("conv2", conv2);
  }

  BatchNorm<T, D> norm1;  // of the input
  Conv2d<T, D> conv1;     // 1x1, to bottleneck growth channels
  BatchNorm<T, D> norm2;  // between the convolutions
  Conv2d<T, D> conv2;     // 3x3, to growth channels
  Dropout<T, D> dropout;  // of what conv2 gives
};

/// A block of layers, and the transition that follows it unless it is the last: conv(relu(norm(x))), of half the
/// channels, and the means of 2x2 windows.
template <class T, class D>
struct DenseBlock {
  /// Of `count` layers behind `in` channels; the last one of a network has no transition.
  DenseBlock(std::int64_t in, std::int64_t count, bool last, const DenseNetOptions& o, Initializer& init) {
    for (std::int64_t i = 0; i < count; ++i) layers.emplace_back(in + i * o.growth, o, init);
    const std::int64_t channels = in + count * o.growth;
    if (last) return;
    norm.emplace(channels, BatchNormOptions{.relu = true});
    conv.emplace(Conv2dShape{.in_channels = channels, .out_channels = channels / 2, .kernel_size = 1}, init);
  }

  /// [K, B, H, W, in] -> [K, B, H, W, in + count growth], or behind a transition [K, B, H / 2, W / 2, half of these].
  [[nodiscard]] Variable<T, D> forward(Variable<T, D> x) {
    for (auto& layer : layers) x = layer.forward(x);
    return conv ? average_pool2d(conv->forward(norm->forward(x))) : x;
  }

  std::vector<DenseLayer<T, D>> layers;  // from the first
  std::optional<BatchNorm<T, D>> norm;   // of the transition; none in the last block
  std::optional<Conv2d<T, D>> conv;      // of the transition, 1x1; none in the last block
};

/// The stem, blocks with transitions, batch norm, ReLU, mean over the image, and classifier, which release can
/// replicate as the head.
template <class T, class D>
struct DenseNet {
  using value_type = T;
  using device_type = D;

  /// He-normal weights drawn from `random`. Throws OptionError unless there is a block, each has a layer, and growth,
  /// width, bottleneck, classes, in_channels >= 1.
  DenseNet(const DenseNetOptions& o, Philox random) : DenseNet(o, Initializer(random)) {}

  /// Images [K, B, H, W, in_channels] -> logits [K, B, classes].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& images) { return classifier.forward(features(images)); }

  /// Images [K, B, H, W, in_channels] -> what the head reads, [K, B, C].
  [[nodiscard]] Variable<T, D> features(const Variable<T, D>& images) {
    auto x = apply_stem(options.stem, norm0.forward(conv0.forward(images)));
    for (auto& block : blocks) x = block.forward(std::move(x));
    return global_average_pool(norm5.forward(x));
  }

  template <class F>
  void visit(F&& f) {
    f("features.conv0", conv0);
    f("features.norm0", norm0);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      auto& block = blocks[i];
      for (std::size_t j = 0; j < block.layers.size(); ++j)
        f(to_text("features.denseblock", i + 1, ".denselayer", j + 1), block.layers[j]);
      if (!block.conv) continue;
      f(to_text("features.transition", i + 1, ".norm"), *block.norm);
      f(to_text("features.transition", i + 1, ".conv"), *block.conv);
    }
    f("features.norm5", norm5);
    f("classifier", classifier);
  }

  DenseNetOptions options;               // as it was made
  Conv2d<T, D> conv0;                    // of the stem
  BatchNorm<T, D> norm0;                 // of the stem
  std::vector<DenseBlock<T, D>> blocks;  // from the first
  BatchNorm<T, D> norm5;                 // behind the last block
  Linear<T, D> classifier;               // the head

 private:
  DenseNet(const DenseNetOptions& o, Initializer init)
      : options(checked(o)),
        conv0(stem_shape(o.stem, o.in_channels, o.width), init),
        norm0(o.width, {.relu = true}),
        blocks(make_blocks(o, init)),
        norm5(channels_after(o, o.blocks.size() - 1), {.relu = true}),
        classifier({.in_features = channels_after(o, o.blocks.size() - 1), .out_features = o.classes, .head = true},
                   init) {}

  static const DenseNetOptions& checked(const DenseNetOptions& o) {
    require_stages("DenseNet", o.blocks);
    require<OptionError>(o.growth >= 1 && o.width >= 1 && o.bottleneck >= 1 && o.classes >= 1 && o.in_channels >= 1,
                         "DenseNet: growth ", o.growth, ", width ", o.width, ", bottleneck ", o.bottleneck,
                         ", classes ", o.classes, ", in_channels ", o.in_channels, "; all must be positive");
    return o;
  }

  /// Channels of a block's last layer.
  static std::int64_t channels_after(const DenseNetOptions& o, std::size_t block) {
    const std::int64_t in = block == 0 ? o.width : channels_after(o, block - 1) / 2;
    return in + o.blocks[block] * o.growth;
  }

  static std::vector<DenseBlock<T, D>> make_blocks(const DenseNetOptions& o, Initializer& init) {
    std::vector<DenseBlock<T, D>> blocks;
    for (std::size_t i = 0; i < o.blocks.size(); ++i)
      blocks.emplace_back(i == 0 ? o.width : channels_after(o, i - 1) / 2, o.blocks[i], i + 1 == o.blocks.size(), o,
                          init);
    return blocks;
  }
};

}  // namespace lpw::inline LPW_ABI::nn
