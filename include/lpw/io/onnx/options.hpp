// How a network is exported to ONNX.
#pragma once

#include <map>
#include <string>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::io {

/// How a network is exported.
struct OnnxOptions {
  bool channels_first = true;    // images go in as [B, C, H, W], and come out so; else as lpw has them, [B, H, W, C]
  bool fold_batch_norm = false;  // where nothing but a batch norm reads a convolution or linear layer, into its weights
  bool probabilities = true;     // beside logits, as `probabilities`, their softmax, and of members the mean of it
  /// Operations of one's own that an operator of ONNX computes, by its name: Softplus of "softplus", say.
  std::map<std::string, std::string> operators = {};
  std::map<std::string, std::string> metadata = {};  // free texts: how inputs are normalised, say
};

}  // namespace lpw::inline LPW_ABI::io
