// The first layers that ResNet and DenseNet share: for large images, and for those of CIFAR's size.
#pragma once

#include <vector>

#include <lpw/nn/activation.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/conv2d.hpp>

namespace lpw::inline LPW_ABI::nn {

/// How a network meets its images: `large`, as for those of 224 pixels, by a 7x7 convolution of stride 2 and the
/// largest of 3x3 windows of stride 2, a quarter of their size; `small`, for those of 32 pixels, by a 3x3 convolution,
/// as they are.
enum class Stem { large, small };

/// Its convolution.
[[nodiscard]] inline Conv2dShape stem_shape(Stem stem, std::int64_t in_channels, std::int64_t out_channels) {
  if (stem == Stem::small) return {.in_channels = in_channels, .out_channels = out_channels, .padding = 1};
  return {.in_channels = in_channels, .out_channels = out_channels, .kernel_size = 7, .stride = 2, .padding = 3};
}

/// What follows the convolution's batch norm and ReLU, x [K, B, H, W, C].
template <class T, class D>
[[nodiscard]] Variable<T, D> apply_stem(Stem stem, const Variable<T, D>& x) {
  return stem == Stem::small ? x : max_pool2d(x, {.kernel_size = 3, .stride = 2, .padding = 1});
}

/// Throws OptionError, of the network called `name`, unless there is a stage and each has a block.
inline void require_stages(const char* name, const std::vector<std::int64_t>& blocks) {
  require<OptionError>(!blocks.empty(), name, ": blocks is empty; expected how many there are in each stage");
  for (const std::int64_t count : blocks)
    require<OptionError>(count >= 1, name, ": a stage of ", count, " blocks; each has 1 or more");
}

}  // namespace lpw::inline LPW_ABI::nn
