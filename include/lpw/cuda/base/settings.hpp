// What a program chooses for all work on the GPU.
#pragma once

#include <cstddef>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// How the CUDA backend computes: a program sets them once, before its first operation.
struct Settings {
  bool tf32 = false;  // products of floats on tensor cores, which read 10 bits of each fraction; sums stay float
  bool deterministic =
      false;  // the same bits in every run: no algorithm that depends on timing or on the order of threads
  /// Bytes a convolution may use besides its operands, up to an eighth of the GPU's memory. (With 1 GB a kernel's
  /// gradient of 1280 images of 32 x 32 x 160 in tf32 took five times as long on an H200.)
  std::size_t convolution_workspace = std::size_t{4} << 30;
};

/// The process's settings; change them before the first work.
inline Settings& settings() {
  static Settings settings;
  return settings;
}

}  // namespace lpw::inline LPW_ABI::cuda
