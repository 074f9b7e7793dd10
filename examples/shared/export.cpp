#include "export.hpp"

#include <utility>

#include <lpw/io/onnx/graph.hpp>
#include <lpw/io/onnx/wire.hpp>

namespace example {

void write_onnx(const std::string& file, lpw::io::onnx::Passes& passes, Metadata about) {
  lpw::io::onnx::require_compiled(file);
  lpw::io::onnx::save(file, lpw::io::onnx::make_model(passes, {.metadata = std::move(about)}));
}

}  // namespace example
