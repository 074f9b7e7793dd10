// What an exported graph can do without: a bias that follows a convolution becomes its third input, and where it is
// asked for, batch norms become the weights of the convolutions or linear layers before them.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/onnx/arrays.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

namespace detail {

class Simplifier {
 public:
  explicit Simplifier(Graph& graph) : graph_(graph) {
    for (const auto& [name, array] : graph.initialisers) arrays_.emplace(name, array);
    for (const Node& node : graph.nodes)
      for (const std::string& name : node.inputs) ++readers_[name];
    for (const ValueInfo& output : graph.outputs) ++readers_[output.name];
  }

  /// A row that is added to the channels of a convolution's result, which nothing else reads.
  void fold_biases() {
    fold("Add", [&](Node& product, const Node& add, std::size_t from) {
      const auto row = arrays_.find(add.inputs[1 - from]);
      if (product.type != "Conv" && product.type != "ConvTranspose") return false;
      if (product.inputs.size() != 2 || row == arrays_.end()) return false;
      const Dims& dims = row->second.dims;
      if (dims.size() != 3 || dims[1] != 1 || dims[2] != 1) return false;
      product.inputs.push_back(put(row->first, reshaped(row->second, {dims[0]})));
      return true;
    });
  }

  /// gamma (W x + b - mean) / sqrt(variance + epsilon) + beta is another W x + b.
  void fold_batch_norms() {
    fold("BatchNormalization", [&](Node& product, const Node& norm, std::size_t) {
      if (product.type != "Conv" && product.type != "Gemm") return false;
      for (std::size_t i = 1; i < product.inputs.size(); ++i)
        if (!arrays_.contains(product.inputs[i])) return false;
      for (std::size_t i = 1; i < norm.inputs.size(); ++i)
        if (!arrays_.contains(norm.inputs[i])) return false;
      fold_batch_norm(product, norm);
      return true;
    });
  }

  /// Leaves out arrays that nothing reads any more, and takes in those that were made.
  void finish() {
    std::set<std::string> read;
    for (const Node& node : graph_.nodes) read.insert(node.inputs.begin(), node.inputs.end());
    std::vector<std::pair<std::string, Array>> kept;
    for (const auto& [name, before] : graph_.initialisers)
      if (auto found = arrays_.extract(name); read.contains(name)) kept.emplace_back(name, std::move(found.mapped()));
    for (auto& [name, array] : arrays_)
      if (read.contains(name)) kept.emplace_back(name, std::move(array));
    graph_.initialisers = std::move(kept);
  }

 private:
  /// Calls join(product, node, input) for nodes of a type that read, by that input, the result of one that they alone
  /// read; where it says so, the product takes the node's place.
  template <class Join>
  void fold(const std::string& type, Join&& join) {
    std::map<std::string, std::size_t> makers;
    std::vector<bool> gone(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      Node& node = graph_.nodes[i];
      for (std::size_t input = 0; node.type == type && input < node.inputs.size(); ++input) {
        const auto maker = makers.find(node.inputs[input]);
        if (maker == makers.end() || readers_[maker->first] != 1) continue;
        if (!join(graph_.nodes[maker->second], node, input)) continue;
        graph_.nodes[maker->second].outputs = node.outputs;
        makers[node.outputs.front()] = maker->second;
        gone[i] = true;
        break;
      }
      if (!gone[i])
        for (const std::string& name : node.outputs) makers[name] = i;
    }
    std::vector<Node> kept;
    for (std::size_t i = 0; i < gone.size(); ++i)
      if (!gone[i]) kept.push_back(std::move(graph_.nodes[i]));
    graph_.nodes = std::move(kept);
  }

  void fold_batch_norm(Node& product, const Node& norm) {
    const auto row = [&](const std::string& name) { return arrays_.at(name).values<float>(); };
    const auto gamma = row(norm.inputs[1]), beta = row(norm.inputs[2]), mean = row(norm.inputs[3]),
               variance = row(norm.inputs[4]);
    const Array& weight = arrays_.at(product.inputs[1]);
    const auto values = weight.values<float>();
    const std::size_t outputs = gamma.size(), per_output = values.size() / outputs;
    std::vector<float> folded(values.size()), bias(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
      const double scale = double(gamma[o]) / std::sqrt(double(variance[o]) + epsilon(norm));
      for (std::size_t i = o * per_output; i < (o + 1) * per_output; ++i)
        folded[i] = static_cast<float>(double(values[i]) * scale);
      const double before = product.inputs.size() > 2 ? double(row(product.inputs[2])[o]) : 0;
      bias[o] = static_cast<float>(double(beta[o]) + (before - double(mean[o])) * scale);
    }
    const std::string stem = product.inputs[1];
    const Dims dims = weight.dims;
    product.inputs.resize(3);
    product.inputs[1] = put(stem, Array::of(folded, dims));
    product.inputs[2] = put(norm.inputs[2], Array::of(bias, {static_cast<std::int64_t>(outputs)}));
  }

  [[nodiscard]] static double epsilon(const Node& norm) {
    for (const auto& [name, value] : norm.attributes)
      if (name == "epsilon") return std::get<double>(value);
    return 1e-5;
  }

  /// The array in place of one that nothing else reads, or beside it.
  [[nodiscard]] std::string put(const std::string& stem, Array array) {
    std::string name = stem;
    if (readers_[stem] > 1) {
      --readers_[stem];
      for (int number = 2; arrays_.contains(name); ++number) name = stem + '_' + std::to_string(number);
    }
    arrays_[name] = std::move(array);
    readers_[name] = 1;
    return name;
  }

  Graph& graph_;
  std::map<std::string, Array> arrays_;
  std::map<std::string, int> readers_;
};

}  // namespace detail

/// Rewrites a graph to one that computes the same, up to rounding.
inline void simplify(Graph& graph, bool fold_batch_norm) {
  detail::Simplifier simplifier(graph);
  simplifier.fold_biases();
  if (fold_batch_norm) simplifier.fold_batch_norms();
  simplifier.finish();
}

}  // namespace lpw::inline LPW_ABI::io::onnx
