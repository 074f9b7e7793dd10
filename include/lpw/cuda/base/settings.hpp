// What a program chooses for all work on the GPU.
#pragma once

#include <cstddef>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::cuda {

struct Settings {
  bool tf32 = false;  // products of floats on tensor cores, which read 10 bits of each fraction; sums stay float
  bool deterministic =
      false;  // the same bits in every run: no algorithm that depends on timing or on the order of threads
  std::size_t convolution_workspace = std::size_t{1} << 30;  // bytes a convolution may use besides its operands
};

/// The process's settings; change them before the first work.
inline Settings& settings() {
  static Settings settings;
  return settings;
}

}  // namespace lpw::inline LPW_ABI::cuda
