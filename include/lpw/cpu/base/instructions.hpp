// Which vector instructions a file is compiled for, for who asks a program.
#pragma once

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// The widest vectors of the instructions that this file is compiled for, such as "AVX2", or "none known".
[[nodiscard]] constexpr const char* instruction_set() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__SSE4_2__)
  return "SSE4.2";
#elif defined(__SSE2__)
  return "SSE2";
#elif defined(__ARM_FEATURE_SVE)
  return "SVE";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "none known";
#endif
}

}  // namespace lpw::inline LPW_ABI
