// Which library does the CPU's convolutions and matrix products, and by which algorithm. LPW_WITH_ONEDNN (0 or 1, set
// by CMake) says whether oneDNN is compiled in; where it is, tests and benchmarks may still switch to Eigen at run
// time.
#pragma once

#include <lpw/tensor/abi.hpp>

#ifndef LPW_WITH_ONEDNN
/// 0 or 1: whether oneDNN is compiled in.
#define LPW_WITH_ONEDNN 0
#endif

#ifndef LPW_COMPILED
/// 1, set by CMake for programs that link lpw::compiled: the instantiations that cpu/compiled.hpp,
/// autograd/compiled.hpp and lpw/compiled.hpp list are declared, not made.
#define LPW_COMPILED 0
#endif

namespace lpw::inline LPW_ABI {

/// `onednn` falls back to `eigen` for what oneDNN cannot do (double; types that the processor lacks), or where it is
/// not compiled in.
enum class CpuEngine { onednn, eigen };

/// The process's choice; change it only while no primitive runs.
[[nodiscard]] inline CpuEngine& cpu_engine() {
  static CpuEngine engine = LPW_WITH_ONEDNN ? CpuEngine::onednn : CpuEngine::eigen;
  return engine;
}

/// `winograd` lets choose_convolution() take lpw's own algorithm where it is faster, `direct` never. Results differ by
/// rounding errors, so a run that is to be repeated bit for bit keeps its choice.
enum class Convolution { winograd, direct };

/// The process's choice; change it only while no primitive runs.
[[nodiscard]] inline Convolution& convolution() {
  static Convolution algorithm = Convolution::winograd;
  return algorithm;
}

}  // namespace lpw::inline LPW_ABI
