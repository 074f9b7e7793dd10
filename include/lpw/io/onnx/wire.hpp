// A model as ONNX files hold it, by protozero (libprotozero-dev). Programs link lpw::onnx. Where that found no
// protozero, nothing is written, and an error says what is missing (compiled.hpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include <lpw/io/file.hpp>
#include <lpw/io/onnx/compiled.hpp>
#include <lpw/io/onnx/model.hpp>
#include <lpw/version.hpp>

#if defined(LPW_WITH_ONNX) && LPW_WITH_ONNX
#include <protozero/pbf_writer.hpp>
#endif

namespace lpw::inline LPW_ABI::io::onnx {

#if defined(LPW_WITH_ONNX) && LPW_WITH_ONNX

namespace detail {

using Writer = protozero::pbf_writer;
using Tag = protozero::pbf_tag_type;

// Numbers of fields, from onnx.proto.
struct ModelFields {
  static constexpr Tag ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8,
                       metadata = 14;
  static constexpr Tag opset_version = 2, key = 1, value = 2;
};
struct GraphFields {
  static constexpr Tag node = 1, name = 2, initialiser = 5, input = 11, output = 12;
};
struct NodeFields {
  static constexpr Tag input = 1, output = 2, name = 3, type = 4, attribute = 5;
};
struct AttributeFields {
  static constexpr Tag name = 1, number = 2, integer = 3, text = 4, integers = 8, type = 20;
  static constexpr std::int32_t is_number = 1, is_integer = 2, is_text = 3, is_integers = 7;
};
struct TensorFields {
  static constexpr Tag dims = 1, type = 2, name = 8, raw = 9;
};
struct ValueFields {
  static constexpr Tag name = 1, type = 2, tensor = 1, element = 1, shape = 2, dim = 1, extent = 1, extent_name = 2;
};

inline void write_attribute(Writer& node, const std::string& name, const AttributeValue& value) {
  using Fields = AttributeFields;
  Writer attribute(node, NodeFields::attribute);
  attribute.add_string(Fields::name, name);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    attribute.add_int64(Fields::integer, *integer);
    attribute.add_enum(Fields::type, Fields::is_integer);
  } else if (const auto* number = std::get_if<double>(&value)) {
    attribute.add_float(Fields::number, static_cast<float>(*number));
    attribute.add_enum(Fields::type, Fields::is_number);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    attribute.add_bytes(Fields::text, *text);
    attribute.add_enum(Fields::type, Fields::is_text);
  } else {
    for (const std::int64_t each : std::get<Dims>(value)) attribute.add_int64(Fields::integers, each);
    attribute.add_enum(Fields::type, Fields::is_integers);
  }
}

inline void write_node(Writer& graph, const Node& node) {
  Writer message(graph, GraphFields::node);
  for (const std::string& name : node.inputs) message.add_string(NodeFields::input, name);
  for (const std::string& name : node.outputs) message.add_string(NodeFields::output, name);
  message.add_string(NodeFields::name, node.name);
  message.add_string(NodeFields::type, node.type);
  for (const auto& [name, value] : node.attributes) write_attribute(message, name, value);
}

inline void write_initialiser(Writer& graph, const std::string& name, const Array& array) {
  Writer tensor(graph, GraphFields::initialiser);
  for (const std::int64_t extent : array.dims) tensor.add_int64(TensorFields::dims, extent);
  tensor.add_enum(TensorFields::type, static_cast<std::int32_t>(array.type));
  tensor.add_string(TensorFields::name, name);
  tensor.add_bytes(TensorFields::raw, reinterpret_cast<const char*>(array.bytes->data()), array.bytes->size());
}

inline void write_value(Writer& graph, protozero::pbf_tag_type tag, const ValueInfo& value) {
  using Fields = ValueFields;
  Writer message(graph, tag);
  message.add_string(Fields::name, value.name);
  Writer type(message, Fields::type);
  Writer tensor(type, Fields::tensor);
  tensor.add_enum(Fields::element, static_cast<std::int32_t>(value.type));
  Writer shape(tensor, Fields::shape);
  for (const auto& extent : value.dims) {
    Writer dim(shape, Fields::dim);
    if (const auto* number = std::get_if<std::int64_t>(&extent)) {
      dim.add_int64(Fields::extent, *number);
    } else {
      dim.add_string(Fields::extent_name, std::get<std::string>(extent));
    }
  }
}

}  // namespace detail

/// A model's bytes.
[[nodiscard]] inline std::string to_bytes(const Model& model) {
  using namespace detail;
  std::string bytes;
  Writer message(bytes);
  message.add_int64(ModelFields::ir_version, ir_version);
  message.add_string(ModelFields::producer_name, "lpw");
  message.add_string(ModelFields::producer_version,
                     to_text(LPW_VERSION_MAJOR, '.', LPW_VERSION_MINOR, '.', LPW_VERSION_PATCH));
  {
    Writer graph(message, ModelFields::graph);
    for (const Node& node : model.graph.nodes) write_node(graph, node);
    graph.add_string(GraphFields::name, "lpw");
    for (const auto& [name, array] : model.graph.initialisers) write_initialiser(graph, name, array);
    for (const ValueInfo& value : model.graph.inputs) write_value(graph, GraphFields::input, value);
    for (const ValueInfo& value : model.graph.outputs) write_value(graph, GraphFields::output, value);
  }
  {
    Writer operators(message, ModelFields::opset_import);
    operators.add_int64(ModelFields::opset_version, opset);
  }
  for (const auto& [key, value] : model.metadata) {
    Writer entry(message, ModelFields::metadata);
    entry.add_string(ModelFields::key, key);
    entry.add_string(ModelFields::value, value);
  }
  return bytes;
}

#else

[[nodiscard]] inline std::string to_bytes(const Model&) { return {}; }

#endif

/// Throws FileError where arrays of that many bytes are more than a file of protocol buffers holds.
inline void require_writable(const std::filesystem::path& path, std::uint64_t bytes) {
  // Beside the arrays, names and nodes take some kilobytes.
  constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max() - (std::uint64_t{16} << 20);
  require<FileError>(
      bytes <= most, path.string(), ": cannot be written: the graph's weights are ", bytes,
      " bytes, and an ONNX file holds 2 GiB; export fewer members, the collapsed network, or safetensors");
}

/// Writes a model, all or nothing. Throws FileError where it cannot be written or is larger than such files may be,
/// Error for a program that was built without ONNX.
inline void save(const std::filesystem::path& path, const Model& model) {
  require_compiled(path.string());
  std::uint64_t bytes = 0;
  for (const auto& [name, array] : model.graph.initialisers) bytes += array.bytes->size();
  require_writable(path, bytes);
  write_file_atomically(path, to_bytes(model));
}

}  // namespace lpw::inline LPW_ABI::io::onnx
