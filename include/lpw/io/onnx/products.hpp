// Translators of products with weights, of look-ups and recurrent layers, and of what weights are made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lpw/io/onnx/step.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// linear(x [B, in], weight [out, in], bias [out]).
inline void translate_linear(const Step& step) {
  std::vector<Value> inputs{step.operand(0), step.operand(1)};
  if (step.has(2)) inputs.push_back(step.operand(2));
  step.result(step.node("Gemm", inputs, {{"transB", std::int64_t{1}}}));
}

inline void translate_matmul(const Step& step) {
  const auto side = [&](std::size_t operand, const char* option) {
    const Value x = step.operand(operand);
    if (step.option(option) == 0) return x;
    Dims axes;
    for (std::int64_t axis = 0; axis < step.rank(operand); ++axis) axes.push_back(axis);
    std::swap(axes[axes.size() - 2], axes.back());
    return step.translation().builder().transpose(x, axes);
  };
  step.result(step.node("MatMul", {side(0, "transpose_a"), side(1, "transpose_b")}));
}

/// A matrix [O, I] times its rank-1 factors r [O] and s [I], where it has some.
[[nodiscard]] inline Value factored(const Step& step, std::size_t weight, std::size_t r, std::size_t s) {
  const Value matrix = step.operand(weight);
  if (!step.has(r)) return matrix;
  const Value output = step.translation().builder().reshape(step.operand(r), {step.fixed(r, 0), 1});
  return step.node("Mul", {step.node("Mul", {matrix, output}), step.operand(s)});
}

/// embedding(indices, weight, r, s).
inline void translate_embedding(const Step& step) {
  step.result(step.node("Gather", {factored(step, 1, 2, 3), step.operand(0)}, {{"axis", std::int64_t{0}}}));
}

/// Coefficients [parts, E] times templates [E, O, ..., C / parts]: the weight [O, ..., C].
inline void translate_templates(const Step& step) {
  auto& builder = step.translation().builder();
  const std::int64_t parts = step.fixed(0, 0), count = step.fixed(0, 1);
  Dims weight, by_part{parts}, order;
  for (const Extent& extent : step.result_extents()) weight.push_back(extent.first);
  for (std::int64_t axis = 1; axis < step.rank(1); ++axis) {
    by_part.push_back(step.fixed(1, to_size(axis)));
    order.push_back(axis);
  }
  order.insert(order.end() - 1, 0);
  const Value sums = step.node("MatMul", {step.operand(0), builder.reshape(step.operand(1), {count, -1})});
  step.result(builder.reshape(builder.transpose(builder.reshape(sums, by_part), order), weight));
}

// Recurrent layers. lpw has PyTorch's order of gates: i, f, g, o of an LSTM, r, z, n of a GRU. ONNX has i, o, f, c,
// where c is g, and z, r, h, where h is n.

/// What a recurrent layer's operands are: x and the states before, then weight, bias, r and s of both matrices.
struct Recurrence {
  std::string type;
  std::size_t states;
  Dims gates;  // ONNX's order of lpw's
};

/// Rows [G H, ...] of the gates in ONNX's order.
[[nodiscard]] inline Value in_order(const Step& step, const Value& rows, const Recurrence& layer, Dims dims) {
  auto& builder = step.translation().builder();
  const auto gates = std::ssize(layer.gates);
  Dims apart = dims;
  apart[0] /= gates;
  apart.insert(apart.begin(), gates);
  return builder.reshape(builder.gather(builder.reshape(rows, apart), layer.gates), dims);
}

/// The states before: [1, B, H] as ONNX has them, or none where they are zeros that the pass made itself.
[[nodiscard]] inline Value state_before(const Step& step, std::size_t operand) {
  if (step.is_zeros(operand)) return {};
  return step.node("Unsqueeze", {step.operand(operand), Builder::integers({0})});
}

inline void translate_recurrent(const Step& step, const Recurrence& layer) {
  auto& builder = step.translation().builder();
  const std::size_t ih = 1 + layer.states, hh = ih + 4;
  const std::int64_t gates = std::ssize(layer.gates), rows = step.fixed(ih, 0), hidden = rows / gates;
  const auto matrix = [&](std::size_t weight) {
    const std::int64_t columns = step.fixed(weight, 1);
    const Value ordered = in_order(step, factored(step, weight, weight + 2, weight + 3), layer, {rows, columns});
    return builder.reshape(ordered, {1, rows, columns});
  };
  const auto bias = [&](std::size_t weight) { return in_order(step, step.operand(weight + 1), layer, {rows}); };
  std::vector<Value> inputs{step.operand(0), matrix(ih), matrix(hh),
                            builder.reshape(builder.concat(bias(ih), bias(hh)), {1, 2 * rows}), Value{}};
  for (std::size_t state = 1; state <= layer.states; ++state) inputs.push_back(state_before(step, state));
  Attributes attributes{{"hidden_size", hidden}};
  if (layer.type == "GRU") attributes.emplace_back("linear_before_reset", std::int64_t{1});
  const auto results = builder.node(layer.type, inputs, attributes, 1 + layer.states);
  step.result(step.node("Squeeze", {results[0], Builder::integers({1})}));
  for (std::size_t state = 1; state <= layer.states; ++state)
    step.result(step.node("Squeeze", {results[state], Builder::integers({0})}), Order::last, state);
}

inline void translate_lstm(const Step& step) { translate_recurrent(step, {"LSTM", 2, {0, 3, 1, 2}}); }
inline void translate_gru(const Step& step) { translate_recurrent(step, {"GRU", 1, {1, 0, 2}}); }

}  // namespace lpw::inline LPW_ABI::io::onnx
