// Names of what a form adds to a weight.
#pragma once

#include <string>

namespace lpw::inline LPW_ABI::nn::detail {

/// What `part` of the weight called `weight` is called: of "conv.weight" "conv.part", of "weight_ih_l0" "part_ih_l0",
/// of what is called otherwise, "fc.bias", "fc.bias.part".
[[nodiscard]] inline std::string name_beside(const std::string& weight, const char* part) {
  const auto at = weight.rfind("weight");
  return at == std::string::npos ? weight + '.' + part : weight.substr(0, at) + part + weight.substr(at + 6);
}

}  // namespace lpw::inline LPW_ABI::nn::detail
