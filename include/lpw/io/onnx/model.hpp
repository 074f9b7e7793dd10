// A model of the ONNX format in memory: nodes, initialisers, and what goes in and out. Fields and their meaning are
// those of onnx.proto (https://onnx.ai/onnx/repo-docs/IR.html); what files hold of them is in wire.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// The version of the operators: the first with LayerNormalization.
inline constexpr std::int64_t opset = 17;
/// The version of the format that goes with it.
inline constexpr std::int64_t ir_version = 8;

/// Types of elements, by onnx.proto's numbers.
enum class ElementType : std::int32_t { float32 = 1, int64 = 7 };

using Dims = std::vector<std::int64_t>;

/// An array on the host, row-major. Copies share the elements.
struct Array {
  ElementType type = ElementType::float32;
  Dims dims;
  std::shared_ptr<const std::vector<std::byte>> bytes;

  template <class T>
  [[nodiscard]] static Array of(const std::vector<T>& values, Dims dims) {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::int64_t>, "of the types that graphs here have");
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return {std::is_same_v<T, float> ? ElementType::float32 : ElementType::int64, std::move(dims),
            std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
  }
  [[nodiscard]] std::size_t element_size() const { return type == ElementType::float32 ? 4 : 8; }
  [[nodiscard]] std::int64_t size() const {
    std::int64_t product = 1;
    for (const std::int64_t extent : dims) product *= extent;
    return product;
  }
  /// The elements, which are of T.
  template <class T>
  [[nodiscard]] std::span<const T> values() const {
    return {reinterpret_cast<const T*>(bytes->data()), bytes->size() / sizeof(T)};
  }
};

/// A list, a number or a text.
using AttributeValue = std::variant<std::int64_t, double, std::string, Dims>;

struct Node {
  std::string type, name;                    // "Conv", "layer1.0.conv1/Conv"
  std::vector<std::string> inputs, outputs;  // names of values; "" for an input that is left out
  std::vector<std::pair<std::string, AttributeValue>> attributes;
};

/// An input or output of the graph. An extent is a number or, where it is for the caller to choose, has a name.
struct ValueInfo {
  std::string name;
  ElementType type = ElementType::float32;
  std::vector<std::variant<std::int64_t, std::string>> dims;
};

/// A graph: nodes in an order in which they can be computed.
struct Graph {
  std::vector<Node> nodes;
  std::vector<std::pair<std::string, Array>> initialisers;
  std::vector<ValueInfo> inputs, outputs;
};

/// What a file holds. Metadata are free texts.
struct Model {
  Graph graph;
  std::map<std::string, std::string> metadata;
};

}  // namespace lpw::inline LPW_ABI::io::onnx
