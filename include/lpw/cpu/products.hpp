// In which type the CPU multiplies, in matrix products and convolutions alike: this file knows (oneDNN's convolutions
// ask it of oneDNN).
#pragma once

#include <string>
#include <type_traits>

#include <lpw/cpu/base/engine.hpp>
#include <lpw/tensor/dtype.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/plan.hpp>
#endif

namespace lpw::inline LPW_ABI {

/// Whether bfloat16 is multiplied as it is, by weights rounded to it: where oneDNN does so faster than it multiplies
/// float. Elsewhere it is widened, and products are float's, of weights as they are.
[[nodiscard]] inline bool multiplies_bfloat16() {
#if LPW_WITH_ONEDNN
  return cpu_engine() == CpuEngine::onednn && onednn::bfloat16_is_fast();
#else
  return false;
#endif
}

/// What multiplies elements T, and as what where that is not T, for the record of a run: others round otherwise.
template <class T>
[[nodiscard]] std::string describe_products() {
  if (cpu_engine() == CpuEngine::eigen) return "Eigen";
  return std::is_same_v<T, bfloat16> && !multiplies_bfloat16() ? "oneDNN, products of float32" : "oneDNN";
}

}  // namespace lpw::inline LPW_ABI
