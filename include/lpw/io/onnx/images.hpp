// Translators of what reads images: convolutions, norms and poolings, with channels second.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <lpw/io/onnx/step.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

using PerImageAxis = std::array<std::int64_t, 2>;

[[nodiscard]] inline Dims list(const PerImageAxis& both) { return {both[0], both[1]}; }
/// Padding before, and behind.
[[nodiscard]] inline Dims pads(const PerImageAxis& before, const PerImageAxis& behind) {
  return {before[0], before[1], behind[0], behind[1]};
}

/// A kernel [O, C, h, w] from [O, h, w, C], times its rank-1 factors where it has some: r along the first axis, s along
/// the second.
[[nodiscard]] inline Value kernel(const Step& step, std::size_t weight, std::size_t r, std::size_t s) {
  Value kernel = step.operand(weight, Order::second);
  if (!step.has(r)) return kernel;
  auto& builder = step.translation().builder();
  const Value output = builder.reshape(step.operand(r), {step.fixed(r, 0), 1, 1, 1});
  const Value input = builder.reshape(step.operand(s), {step.fixed(s, 0), 1, 1});
  return step.node("Mul", {step.node("Mul", {kernel, output}), input});
}

[[nodiscard]] inline Attributes convolution_attributes(const Step& step) {
  const auto padding = step.per_axis("padding", "padding", 0);
  const PerImageAxis size{step.fixed(1, 1), step.fixed(1, 2)};
  return {{"dilations", list(step.per_axis("dilation", "dilation", 1))},
          {"group", step.option("groups", 1)},
          {"kernel_shape", list(size)},
          {"pads", pads(padding, padding)},
          {"strides", list(step.per_axis("stride", "stride", 1))}};
}

/// conv2d(x, weight, r, s) and conv2d_add(x, weight, residual, r, s).
inline void translate_conv2d(const Step& step) {
  const bool adds = step.name() == "conv2d_add";
  const std::size_t factors = adds ? 3 : 2;
  Value y = step.node("Conv", {step.operand(0, Order::second), kernel(step, 1, factors, factors + 1)},
                      convolution_attributes(step));
  if (adds) y = step.node("Add", {y, step.operand(2, Order::second)});
  step.result(y, Order::second);
}

inline void translate_conv_transpose2d(const Step& step) {
  Attributes attributes = convolution_attributes(step);
  attributes.emplace_back("output_padding", list(step.per_axis("output_padding", "output_padding", 0)));
  step.result(step.node("ConvTranspose", {step.operand(0, Order::second), kernel(step, 1, 2, 3)}, attributes),
              Order::second);
}

/// batch_norm(x, gamma, beta, mean, variance), batch_norm_add(x, residual, gamma, ...), and ReLU where it follows.
inline void translate_batch_norm(const Step& step) {
  const std::size_t rows = step.name() == "batch_norm_add" ? 2 : 1;
  std::vector<Value> inputs{step.operand(0, Order::second)};
  for (std::size_t row = rows; row < rows + 4; ++row) inputs.push_back(step.operand(row));
  Value y = step.node("BatchNormalization", inputs, {{"epsilon", step.number("epsilon")}});
  if (rows == 2) y = step.node("Add", {y, step.operand(1, Order::second)});
  if (step.option("relu") != 0) y = step.node("Relu", {y});
  step.result(y, Order::second);
}

inline void translate_layer_norm(const Step& step) {
  step.result(step.node("LayerNormalization", {step.operand(0), step.operand(1), step.operand(2)},
                        {{"axis", std::int64_t{-1}}, {"epsilon", step.number("epsilon")}}));
}

/// The operator for groups is younger: an instance is here what each group has of a sample.
inline void translate_group_norm(const Step& step) {
  const std::int64_t groups = step.option("groups"), rank = step.rank(0);
  auto& builder = step.translation().builder();
  const Value x = step.operand(0, Order::second);
  const Value instances = builder.reshape(x, {0, groups, -1});
  const auto row = [&](float value) {
    return Builder::array("constant", Array::of(std::vector<float>(to_size(groups), value), {groups}));
  };
  const Value normal =
      step.node("InstanceNormalization", {instances, row(1), row(0)}, {{"epsilon", step.number("epsilon")}});
  const Value y = step.node("Reshape", {normal, step.node("Shape", {x})});
  const Value scaled = step.node("Mul", {y, step.along_channels(1, Order::second, rank)});
  step.result(step.node("Add", {scaled, step.along_channels(2, Order::second, rank)}), Order::second);
}

inline void translate_global_average_pool(const Step& step) {
  const Value mean = step.node("GlobalAveragePool", {step.operand(0, Order::second)});
  step.result(step.node("Flatten", {mean}, {{"axis", std::int64_t{1}}}));
}

/// How far the last windows reach over the end of the padded image: past 0 in ceil mode alone.
[[nodiscard]] inline PerImageAxis reach(const Step& step, const PerImageAxis& size, const PerImageAxis& stride,
                                        const PerImageAxis& padding) {
  PerImageAxis over{};
  if (step.option("ceil_mode") == 0) return over;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const Extent y = step.result_extents()[axis + 1];
    require<OptionError>(!y.dynamic(), "save_onnx: '", step.name(),
                         "' in ceil mode needs images of one size; give the input numbers for it in place of names");
    const std::int64_t end = (y.first - 1) * stride[axis] + size[axis];
    over[axis] = std::max<std::int64_t>(0, end - (step.fixed(0, axis + 1) + 2 * padding[axis]));
  }
  return over;
}

/// Ceil mode is written as padding, so that it means the same to all who read it.
inline void translate_pool(const Step& step) {
  const bool largest = step.name() == "max_pool2d";
  const auto size = step.per_axis("kernel", "kernel_size", 1), stride = step.per_axis("stride", "stride", 1);
  PerImageAxis padding = step.per_axis("padding", "padding", 0);
  PerImageAxis behind = reach(step, size, stride, padding);
  Value x = step.operand(0, Order::second);
  Attributes attributes{{"kernel_shape", list(size)}, {"strides", list(stride)}};
  const bool counts = !largest && step.option("count_include_pad") != 0;
  if (counts && (behind[0] > 0 || behind[1] > 0)) {
    // Padding is counted, and what is past it is not: the zeros become part of the image.
    const Dims around{0, 0, padding[0], padding[1], 0, 0, padding[0], padding[1]};
    x = step.node("Pad", {x, Builder::integers(around)}, {{"mode", std::string("constant")}});
    padding = {0, 0};
  } else if (counts) {
    attributes.emplace_back("count_include_pad", std::int64_t{1});
  }
  for (std::size_t axis = 0; axis < 2; ++axis) behind[axis] += padding[axis];
  attributes.emplace_back("pads", pads(padding, behind));
  step.result(step.node(largest ? "MaxPool" : "AveragePool", {x}, attributes), Order::second);
}

/// The means over windows along an axis as a matrix [from, to].
[[nodiscard]] inline Value window_means(std::int64_t from, std::int64_t to, bool transposed) {
  std::vector<float> means(to_size(from * to), 0);
  for (std::int64_t o = 0; o < to; ++o) {
    const std::int64_t first = o * from / to, last = ((o + 1) * from + to - 1) / to;
    for (std::int64_t i = first; i < last; ++i)
      means[to_size(transposed ? o * from + i : i * to + o)] = 1 / static_cast<float>(last - first);
  }
  const Dims dims = transposed ? Dims{to, from} : Dims{from, to};
  return Builder::array("windows", Array::of(means, dims));
}

/// Windows of one size where they are that; else a product with the means of windows along either axis.
inline void translate_adaptive_pool(const Step& step) {
  const PerImageAxis from{step.fixed(0, 1), step.fixed(0, 2)}, to = step.per_axis("output", "output_size", 1);
  const Value x = step.operand(0, Order::second);
  if (from[0] % to[0] == 0 && from[1] % to[1] == 0) {
    const Dims size{from[0] / to[0], from[1] / to[1]};
    return step.result(step.node("AveragePool", {x}, {{"kernel_shape", size}, {"strides", size}}), Order::second);
  }
  const Value rows = step.node("MatMul", {x, window_means(from[1], to[1], false)});
  step.result(step.node("MatMul", {window_means(from[0], to[0], true), rows}), Order::second);
}

}  // namespace lpw::inline LPW_ABI::io::onnx
