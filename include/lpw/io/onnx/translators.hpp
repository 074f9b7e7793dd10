// Which translator an operation has, by the name that it records.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <lpw/io/onnx/elementwise.hpp>
#include <lpw/io/onnx/images.hpp>
#include <lpw/io/onnx/products.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

using Translator = void (*)(const Step&);

/// The translator of an operation, or null.
[[nodiscard]] inline Translator translator_of(const std::string& operation) {
  static const std::map<std::string_view, Translator> translators{
      {"adaptive_average_pool2d", translate_adaptive_pool},
      {"add", translate_arithmetic},
      {"add_channels", translate_channels},
      {"add_row", translate_arithmetic},
      {"affine", translate_affine},
      {"average_pool2d", translate_pool},
      {"batch_norm", translate_batch_norm},
      {"batch_norm_add", translate_batch_norm},
      {"combine_templates", translate_templates},
      {"concat", translate_concat},
      {"conv2d", translate_conv2d},
      {"conv2d_add", translate_conv2d},
      {"conv_transpose2d", translate_conv_transpose2d},
      {"div", translate_arithmetic},
      {"embedding", translate_embedding},
      {"exp", translate_function},
      {"gelu", translate_gelu},
      {"global_average_pool", translate_global_average_pool},
      {"group_norm", translate_group_norm},
      {"gru", translate_gru},
      {"layer_norm", translate_layer_norm},
      {"linear", translate_linear},
      {"log", translate_function},
      {"log_softmax", translate_log_softmax},
      {"lstm", translate_lstm},
      {"matmul", translate_matmul},
      {"max_pool2d", translate_pool},
      {"mean", translate_reduction},
      {"mul", translate_arithmetic},
      {"permute", translate_permute},
      {"relu", translate_function},
      {"reshape", translate_reshape},
      {"scale_channels", translate_channels},
      {"sigmoid", translate_function},
      {"silu", translate_silu},
      {"slice", translate_slice},
      {"softmax", translate_softmax},
      {"sqrt", translate_function},
      {"sub", translate_arithmetic},
      {"sum", translate_reduction},
      {"tanh", translate_function},
      {"transpose", translate_permute},
  };
  const auto found = translators.find(operation);
  return found == translators.end() ? nullptr : found->second;
}

/// Makes the nodes of an operation. `own`: the operators that compute operations of one's own, by these operations'
/// names. Throws OptionError for an operation that has no translator.
inline void translate(const Step& step, const std::map<std::string, std::string>& own) {
  if (const auto found = own.find(step.name()); found != own.end()) {
    std::vector<Value> inputs;
    for (std::size_t operand = 0; operand < step.operands(); ++operand)
      inputs.push_back(step.has(operand) ? step.operand(operand) : Value{});
    return step.result(step.node(found->second, inputs));
  }
  require<OptionError>(!step.name().empty(),
                       "save_onnx: the pass has an operation without a name; give record() its name, and say by the "
                       "option `operators` which operator of ONNX computes it, or make it of lpw's operations");
  const Translator translator = translator_of(step.name());
  require<OptionError>(translator != nullptr, "save_onnx: the operation '", step.name(),
                       "' has no form in ONNX here; say by the option `operators` which operator computes it, leave it "
                       "out of the exported pass, or make it of others");
  translator(step);
}

}  // namespace lpw::inline LPW_ABI::io::onnx
