// Translators of what works on single elements, along channels, or on axes.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/io/onnx/step.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// A function of one variable that one node computes.
inline void translate_function(const Step& step) {
  static const std::map<std::string_view, std::string> types{
      {"relu", "Relu"}, {"exp", "Exp"}, {"log", "Log"}, {"sqrt", "Sqrt"}, {"tanh", "Tanh"}, {"sigmoid", "Sigmoid"}};
  const Order order = step.order(0);
  step.result(step.node(types.at(step.name()), {step.operand(0, order)}), order);
}

inline void translate_silu(const Step& step) {
  const Order order = step.order(0);
  const Value x = step.operand(0, order);
  step.result(step.node("Mul", {x, step.node("Sigmoid", {x})}), order);
}

/// Of nodes, since the operator Gelu is younger: x (1 + f) / 2 with f = erf(x / sqrt 2) or the approximation's tanh.
inline void translate_gelu(const Step& step) {
  const Order order = step.order(0);
  const Value x = step.operand(0, order);
  Value f;
  if (step.option("tanh") != 0) {
    const Value cube = step.node("Mul", {step.node("Mul", {x, x}), x});
    const Value inner = step.node("Add", {x, step.node("Mul", {cube, Builder::scalar(0.044715)})});
    f = step.node("Tanh", {step.node("Mul", {inner, Builder::scalar(std::sqrt(2 / std::numbers::pi))})});
  } else {
    f = step.node("Erf", {step.node("Mul", {x, Builder::scalar(1 / std::numbers::sqrt2)})});
  }
  const Value half = step.node("Mul", {x, Builder::scalar(0.5)});
  step.result(step.node("Mul", {half, step.node("Add", {f, Builder::scalar(1)})}), order);
}

/// scale x + shift.
inline void translate_affine(const Step& step) {
  const Order order = step.order(0);
  Value y = step.operand(0, order);
  if (step.number("scale") != 1) y = step.node("Mul", {y, Builder::scalar(step.number("scale"))});
  if (step.number("shift") != 0) y = step.node("Add", {y, Builder::scalar(step.number("shift"))});
  step.result(y, order);
}

/// The operator for a sum, difference, product or quotient, or for a row along channels.
[[nodiscard]] inline const std::string& arithmetic_type(const std::string& name) {
  static const std::map<std::string_view, std::string> types{
      {"add", "Add"},     {"sub", "Sub"},          {"mul", "Mul"},           {"div", "Div"},
      {"add_row", "Add"}, {"add_channels", "Add"}, {"scale_channels", "Mul"}};
  return types.at(name);
}

/// Two operands of one shape, or the second repeated along the axes that `over` has a bit for.
inline void translate_arithmetic(const Step& step) {
  const std::int64_t over = step.option("over"), rank = step.rank(0);
  if (over == 0 && step.rank(1) == rank) {
    // Rows that are added make a kernel, which a convolution reads with channels second.
    const bool second = step.name() == "add_row" || (step.is_second(0) && step.is_second(1));
    const Order order = second ? Order::second : Order::last;
    return step.result(step.node(arithmetic_type(step.name()), {step.operand(0, order), step.operand(1, order)}),
                       order);
  }
  Value b = step.operand(1);
  if (step.rank(1) < rank) {
    Extents shape = step.extents(1);
    Dims axes;
    for (std::int64_t axis = 0; axis < rank; ++axis)
      if (over >> (axis + 1) & 1) {
        shape.insert(shape.begin() + axis, Extent{1, 1});
        axes.push_back(axis);
      }
    b = b.is_array ? step.translation().reshape(b, shape) : step.node("Unsqueeze", {b, Builder::integers(axes)});
  }
  step.result(step.node(arithmetic_type(step.name()), {step.operand(0), b}));
}

/// x times or plus a row along its channels.
inline void translate_channels(const Step& step) {
  const Order order = step.order(0);
  const Value row = step.along_channels(1, order, step.rank(0));
  step.result(step.node(arithmetic_type(step.name()), {step.operand(0, order), row}), order);
}

inline void translate_softmax(const Step& step) {
  Value x = step.operand(0);
  if (step.option("causal") != 0) {  // plus -infinity above the diagonal
    const Value shape = step.node("Shape", {x}, {{"start", std::int64_t{-2}}});
    const Value masked = step.node("Expand", {Builder::scalar(-std::numeric_limits<double>::infinity()), shape});
    x = step.node("Add", {x, step.node("Trilu", {masked, Builder::array("diagonal", Array::of(Dims{1}, {}))})});
  }
  step.result(step.node("Softmax", {x}, {{"axis", std::int64_t{-1}}}));
}

inline void translate_log_softmax(const Step& step) {
  step.result(step.node("LogSoftmax", {step.operand(0)}, {{"axis", std::int64_t{-1}}}));
}

inline void translate_reduction(const Step& step) {
  const std::int64_t over = step.option("over"), rank = step.rank(0), keep = step.option("keep");
  // Without the axes of an image the two orders are the same.
  bool image = rank >= 3 && keep == 0;
  for (std::int64_t axis = 1; axis + 1 < rank; ++axis) image = image && (over >> (axis + 1) & 1);
  const Order order = image ? step.order(0) : Order::last;
  Dims axes;
  for (std::int64_t axis = 0; axis <= rank; ++axis)
    if (over >> axis & 1) axes.push_back(step.axis(axis, order, rank));
  if (step.name() == "sum")
    return step.result(step.node("ReduceSum", {step.operand(0, order), Builder::integers(axes)}, {{"keepdims", keep}}));
  step.result(step.node("ReduceMean", {step.operand(0, order)}, {{"axes", axes}, {"keepdims", keep}}));
}

/// permute has a decimal digit for each axis of the result, but for the members'.
inline void translate_permute(const Step& step) {
  const std::int64_t rank = step.rank(0);
  Dims axes(to_size(rank));
  if (step.name() == "permute") {
    std::int64_t digits = step.option("axes");
    for (std::size_t axis = axes.size(); axis-- > 0; digits /= 10) axes[axis] = digits % 10 - 1;
  } else {
    for (std::int64_t axis = 0; axis < rank; ++axis) axes[to_size(axis)] = axis;
    std::swap(axes[to_size(step.option("first") - 1)], axes[to_size(step.option("second") - 1)]);
  }
  step.result(step.translation().builder().transpose(step.operand(0), axes));
}

/// Along a dynamic axis what is cut off at the end is counted from there.
inline void translate_slice(const Step& step) {
  const std::int64_t rank = step.rank(0);
  const Order order = step.order(0);
  const std::int64_t axis = step.axis(step.option("axis"), order, rank);
  const Extent extent = step.extents(0)[to_size(step.option("axis") - 1)];
  const Extent first = step.both("first"), count = step.both("count");
  const auto place = [&](std::int64_t in_first, std::int64_t in_second) {
    if (in_first == in_second) return in_first;
    require<OptionError>(
        extent.first - in_first == extent.second - in_second,
        "save_onnx: a slice's place follows from a named axis in an unknown way; give the input numbers "
        "in place of names");
    return in_first == extent.first ? std::numeric_limits<std::int64_t>::max() : in_first - extent.first;
  };
  const std::int64_t begin = place(first.first, first.second);
  const std::int64_t end = place(first.first + count.first, first.second + count.second);
  step.result(step.node("Slice", {step.operand(0, order), Builder::integers({begin}), Builder::integers({end}),
                                  Builder::integers({axis})}),
              order);
}

inline void translate_concat(const Step& step) {
  const Order order = step.order(0);
  std::vector<Value> parts;
  for (std::size_t part = 0; part < step.operands(); ++part) parts.push_back(step.operand(part, order));
  step.result(step.node("Concat", parts, {{"axis", step.axis(step.option("axis"), order, step.rank(0))}}), order);
}

inline void translate_reshape(const Step& step) {
  step.result(step.translation().reshape(step.operand(0), step.result_extents()));
}

}  // namespace lpw::inline LPW_ABI::io::onnx
