// Whether a program can write ONNX files. CMake's lpw::onnx defines LPW_WITH_ONNX; where nothing does, it is 1 if
// protozero's headers are there.
#pragma once

#include <string_view>

#include <lpw/tensor/error.hpp>

#if !defined(LPW_WITH_ONNX) && __has_include(<protozero/pbf_writer.hpp>)
#define LPW_WITH_ONNX 1
#endif

namespace lpw::inline LPW_ABI::io::onnx {

#if defined(LPW_WITH_ONNX) && LPW_WITH_ONNX
inline constexpr bool compiled = true;
#else
inline constexpr bool compiled = false;
#endif

/// Throws Error, which begins with `where`, in a program that cannot.
inline void require_compiled(std::string_view where) {
  require(compiled, where,
          ": this program was built without ONNX; configure it with -DLPW_ONNX=ON, which needs protozero "
          "(libprotozero-dev)");
}

}  // namespace lpw::inline LPW_ABI::io::onnx
