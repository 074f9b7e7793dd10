// Makes a graph, node by node. A node that is there already, the same operator of the same inputs, is not made again:
// what the members of a network have in common, up to the first late-phase weight, is computed once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/onnx/arrays.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// A value of the graph: a node's result or an input, by its name, or an array, which becomes an initialiser when a
/// node reads it. Without either, an input that a node is left without.
struct Value {
  std::string name = {};  // of an array: the one it is to have
  Array array = {};       //
  bool is_array = false;  //

  [[nodiscard]] bool none() const { return name.empty() && !is_array; }
};

using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

class Builder {
 public:
  /// An input of the graph.
  [[nodiscard]] Value input(ValueInfo info) {
    info.name = unique(info.name);
    graph_.inputs.push_back(info);
    return {info.name};
  }
  /// An array of that name, or one beside it where that is taken.
  [[nodiscard]] static Value array(std::string name, Array array) { return {std::move(name), std::move(array), true}; }
  [[nodiscard]] static Value scalar(double value) {
    return array("constant", Array::of(std::vector{static_cast<float>(value)}, {}));
  }
  [[nodiscard]] static Value integers(const Dims& values) {
    return array("axes", Array::of(values, {static_cast<std::int64_t>(values.size())}));
  }

  /// What nodes made from now on are called, in front of their operators' names.
  void set_scope(std::string scope) { scope_ = std::move(scope); }

  /// The results of a node.
  [[nodiscard]] std::vector<Value> node(const std::string& type, const std::vector<Value>& inputs,
                                        const Attributes& attributes, std::size_t outputs) {
    Node made{type, {}, {}, {}, attributes};
    for (const Value& value : inputs) made.inputs.push_back(name_of(value));
    while (!made.inputs.empty() && made.inputs.back().empty()) made.inputs.pop_back();
    const std::string key = key_of(made, outputs);
    auto known = nodes_.find(key);
    if (known == nodes_.end()) {
      made.name = unique(scope_.empty() ? type : scope_ + '/' + type);
      for (std::size_t i = 0; i < outputs; ++i)
        made.outputs.push_back(i == 0 ? made.name : unique(made.name + '.' + std::to_string(i)));
      known = nodes_.emplace(key, made.outputs).first;
      graph_.nodes.push_back(std::move(made));
    }
    std::vector<Value> results;
    for (const std::string& name : known->second) results.push_back({name});
    return results;
  }
  [[nodiscard]] Value node(const std::string& type, const std::vector<Value>& inputs,
                           const Attributes& attributes = {}) {
    return node(type, inputs, attributes, 1).front();
  }

  // What follows moves an array's elements at once.

  [[nodiscard]] Value reshape(const Value& x, const Dims& dims) {
    if (!x.is_array) return node("Reshape", {x, integers(dims)});
    return moved(x, "reshape", dims, [&](const Array& array) { return reshaped(array, dims); });
  }
  [[nodiscard]] Value transpose(const Value& x, const Dims& axes) {
    if (!x.is_array) return node("Transpose", {x}, {{"perm", axes}});
    return moved(x, "transpose", axes, [&](const Array& array) { return permuted(array, axes); });
  }
  /// Rows of the first axis.
  [[nodiscard]] Value gather(const Value& x, const Dims& indices) {
    if (!x.is_array) return node("Gather", {x, integers(indices)}, {{"axis", std::int64_t{0}}});
    return moved(x, "gather", indices, [&](const Array& array) { return gathered(array, indices); });
  }
  /// Along the first axis.
  [[nodiscard]] Value concat(const Value& a, const Value& b) {
    if (!a.is_array || !b.is_array) return node("Concat", {a, b}, {{"axis", std::int64_t{0}}});
    return moved(a, "concat" + std::to_string(id_of(b.array)), {}, [&](const Array& array) {
      return concatenated({array, b.array});
    });
  }

  /// Makes a value an output of the graph.
  void output(ValueInfo info, const Value& value) {
    require<OptionError>(!outputs_.contains(info.name), "save_onnx: there are two outputs '", info.name,
                         "'; give each its own name");
    outputs_.emplace(info.name, name_of(value));
    graph_.outputs.push_back(std::move(info));
  }

  /// The graph, whose outputs have the names that were asked for.
  [[nodiscard]] Graph finish() {
    std::map<std::string, std::string> renamed;
    std::set<std::string> made;
    for (const Node& node : graph_.nodes) made.insert(node.outputs.begin(), node.outputs.end());
    for (const auto& [name, value] : outputs_) {
      require<OptionError>(!names_.contains(name), "save_onnx: an output '", name,
                           "' is called as an input, a parameter or a node is; give it another name");
      // An input or a value that is an output already is copied.
      if (!made.contains(value) || !renamed.emplace(value, name).second)
        graph_.nodes.push_back({"Identity", name, {value}, {name}, {}});
    }
    const auto rename = [&](std::vector<std::string>& names) {
      for (std::string& name : names)
        if (const auto found = renamed.find(name); found != renamed.end()) name = found->second;
    };
    for (Node& node : graph_.nodes) {
      rename(node.inputs);
      rename(node.outputs);
    }
    return std::move(graph_);
  }

 private:
  [[nodiscard]] std::string unique(const std::string& name) {
    std::string result = name;
    for (int number = 2; !names_.insert(result).second; ++number) result = name + '_' + std::to_string(number);
    return result;
  }

  /// Arrays of the same elements in memory, and small ones that are equal, are one initialiser.
  [[nodiscard]] std::string name_of(const Value& value) {
    if (!value.is_array) return value.name;
    std::string key = std::to_string(static_cast<int>(value.array.type));
    for (const std::int64_t extent : value.array.dims) key += ',' + std::to_string(extent);
    const auto& bytes = *value.array.bytes;
    constexpr std::size_t small = 64;
    if (bytes.size() <= small) {
      key += '=' + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + value.name;
    } else {
      key += '@' + std::to_string(id_of(value.array));
    }
    auto known = arrays_.find(key);
    if (known == arrays_.end()) {
      known = arrays_.emplace(key, unique(value.name)).first;
      graph_.initialisers.emplace_back(known->second, value.array);
    }
    return known->second;
  }

  /// Identifies the elements of an array, which stay in memory as long as the builder.
  [[nodiscard]] std::size_t id_of(const Array& array) {
    kept_.insert(array.bytes);
    return reinterpret_cast<std::size_t>(array.bytes.get());
  }

  [[nodiscard]] Value moved(const Value& x, const std::string& what, const Dims& how,
                            const std::function<Array(const Array&)>& move) {
    std::string key = what + '@' + std::to_string(id_of(x.array));
    for (const std::int64_t extent : x.array.dims) key += ',' + std::to_string(extent);
    key += ':';
    for (const std::int64_t each : how) key += ',' + std::to_string(each);
    auto known = moved_.find(key);
    if (known == moved_.end()) known = moved_.emplace(key, move(x.array)).first;
    return {x.name, known->second, true};
  }

  [[nodiscard]] static std::string key_of(const Node& node, std::size_t outputs) {
    std::string key = node.type + ' ' + std::to_string(outputs);
    for (const std::string& name : node.inputs) key += '\n' + name;
    for (const auto& [name, value] : node.attributes) {
      key += '\t' + name + '=';
      if (const auto* integer = std::get_if<std::int64_t>(&value)) key += std::to_string(*integer);
      if (const auto* number = std::get_if<double>(&value)) key += significant(*number, 17);
      if (const auto* text = std::get_if<std::string>(&value)) key += *text;
      if (const auto* list = std::get_if<Dims>(&value))
        for (const std::int64_t each : *list) key += std::to_string(each) + ',';
    }
    return key;
  }

  Graph graph_;
  std::string scope_;
  std::set<std::string> names_;
  std::map<std::string, std::vector<std::string>> nodes_;
  std::map<std::string, std::string> arrays_, outputs_;
  std::map<std::string, Array> moved_;
  std::set<std::shared_ptr<const std::vector<std::byte>>> kept_;
};

}  // namespace lpw::inline LPW_ABI::io::onnx
