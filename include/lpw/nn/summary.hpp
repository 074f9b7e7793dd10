// What a network is, layer by layer: its weights' shapes, how many of them the members share and how many are each
// member's own, and, of an input, what each layer makes of it and what that costs.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A module with weights or statistics of its own, those of the modules in it apart; or, as the last of all, the
/// products that a pass makes of activations alone.
struct LayerSummary {
  std::string name, type;            // "layer1.0.conv1", "Conv2d"; "(network)" for the network itself
  std::vector<Shape> shapes = {};    // of its weights, for one member
  std::int64_t base = 0, late = 0;   // weights that all members share, and of each member; tied ones count once
  std::int64_t statistics = 0;       // running ones, of each member
  std::optional<Shape> output = {};  // [B, ...] for one member, where an input was given
  std::int64_t multiply_adds = 0;    // likewise
};

/// A network's layers, and what they sum to.
struct Summary {
  std::vector<LayerSummary> layers;  // in the order of visit, each before those in it
  std::int64_t members = 1;          // K
  bool traced = false;               // whether an input was given

  /// The sum of a column over all layers.
  [[nodiscard]] std::int64_t total(std::int64_t LayerSummary::*column) const {
    std::int64_t sum = 0;
    for (const LayerSummary& layer : layers) sum += layer.*column;
    return sum;
  }
  /// Weights that are trained: base, and late-phase ones of all members.
  [[nodiscard]] std::int64_t parameters() const {
    return total(&LayerSummary::base) + members * total(&LayerSummary::late);
  }
  /// As a table, a line for each layer, and lines of what they sum to.
  [[nodiscard]] std::string text() const;
};

namespace detail {

/// A type's name without its namespaces and template arguments: "Conv2d".
template <class M>
[[nodiscard]] std::string short_type_name() {
  std::string_view name = __PRETTY_FUNCTION__;  // "... [with M = lpw::nn::Conv2d<float, ...>; ...]"
  name.remove_prefix(name.find("M = ") + 4);
  name = name.substr(0, name.find_first_of("<;]"));
  const auto scope = name.rfind("::");
  return std::string(scope == name.npos ? name : name.substr(scope + 2));
}

/// The layers, and which of them each parameter is of.
struct LayerList {
  std::vector<LayerSummary> layers;
  std::map<const void*, std::size_t> owner;

  template <class P>
  void add_parameter(P& parameter) {
    if (!owner.emplace(parameter.id(), layers.size() - 1).second) return;
    LayerSummary& layer = layers.back();
    layer.shapes.push_back(parameter.shape());
    (parameter.late_phase() ? layer.late : layer.base) += parameter.shape().size();
  }
};

template <Visitable M>
[[nodiscard]] LayerList list_layers(M& network) {
  LayerList list;
  for_each_module(network, [&](const std::string& name, auto& module) {
    list.layers.push_back(
        {name.empty() ? "(network)" : name, short_type_name<std::remove_cvref_t<decltype(module)>>()});
    bool own = false;
    module.visit([&](const std::string& member_name, auto& member) {
      using Member = std::remove_reference_t<decltype(member)>;
      own = own || !Visitable<Member>;
      if constexpr (is_dense_weight<Member> || is_parameter<Member>)
        member.visit(member_name, [&](const std::string&, auto& parameter) { list.add_parameter(parameter); });
      if constexpr (is_buffer<Member>) list.layers.back().statistics += member.shape().size();
    });
    if (!own) list.layers.pop_back();
  });
  return list;
}

/// What a trace says of the layers: the last output that is made with their weights, and the multiply-adds of products
/// with dense ones. A weight may be made of several parameters before it is read (deviations, templates).
class TraceReader {
 public:
  TraceReader(const Trace& trace, std::map<std::int64_t, std::size_t> owner, std::vector<LayerSummary>& layers)
      : trace_(trace), owner_(std::move(owner)), layers_(layers) {}

  void read() {
    for (const TracedOperation& operation : trace_.operations()) {
      const auto is_weight = [&](std::int64_t input) { return input < 0 || owner_.contains(input); };
      const auto first = std::find_if(operation.inputs.begin(), operation.inputs.end(),
                                      [&](std::int64_t input) { return owner_.contains(input); });
      if (first == operation.inputs.end()) {
        of_activations_.multiply_adds += multiply_adds(operation);
        continue;
      }
      const std::size_t layer = owner_.at(*first);
      if (std::all_of(operation.inputs.begin(), operation.inputs.end(), is_weight)) {
        owner_.emplace(operation.outputs[0], layer);
        if (operation.name == "reshape") image_kernels_.insert(operation.outputs[0]);
      } else {
        count(operation, layers_[layer]);
      }
    }
    if (of_activations_.multiply_adds > 0) layers_.push_back(of_activations_);
  }

 private:
  [[nodiscard]] const Shape& shape(std::int64_t value) const { return trace_.values()[to_size(value)].shape; }

  /// Whether a convolution is one of sequences, which takes them as images of height 1 and its weight as theirs.
  [[nodiscard]] bool of_sequence(const TracedOperation& operation) const {
    return operation.name.starts_with("conv") && operation.inputs.size() > 1 &&
           image_kernels_.contains(operation.inputs[1]) && shape(operation.outputs[0])[2] == 1;
  }

  void count(const TracedOperation& operation, LayerSummary& layer) const {
    const Shape& y = shape(operation.outputs[0]);
    layer.output = of_sequence(operation) ? Shape{y[1], y[3], y[4]} : y.slice(1, y.rank());
    layer.multiply_adds += multiply_adds(operation);
  }

  /// Of one member's samples.
  [[nodiscard]] std::int64_t multiply_adds(const TracedOperation& operation) const {
    static const std::set<std::string_view> products{"conv2d", "conv2d_add", "conv_transpose2d", "linear", "lstm",
                                                     "gru",    "matmul"};
    if (!products.contains(operation.name)) return 0;
    const Shape& y = shape(operation.outputs[0]);
    // Each number of the left factor meets a row of the right one.
    if (operation.name == "matmul") return shape(operation.inputs[0]).size_from(1) * y[-1];
    // Each place of the result reads the whole weight; of a transposed convolution each place of the input does.
    const Shape& read = operation.name == "conv_transpose2d" ? shape(operation.inputs[0]) : y;
    const std::int64_t places = read.size_from(1) / read[-1];
    std::int64_t sum = 0;
    for (std::size_t i = 1; i < operation.inputs.size(); ++i) {
      const std::int64_t input = operation.inputs[i];
      if (input < 0 || !owner_.contains(input)) continue;
      const Shape& weight = shape(input);  // [1 or K, O, ..., C]
      if (weight.rank() >= 3) sum += places * weight.size_from(1);
    }
    return sum;
  }

  const Trace& trace_;
  std::map<std::int64_t, std::size_t> owner_;  // of values: weights, by the layer that they are of
  std::set<std::int64_t> image_kernels_;       // of them those that are reshaped
  std::vector<LayerSummary>& layers_;
  LayerSummary of_activations_{"(activations)", "matmul"};
};

/// Lines of cells, in columns; the first two and those with shapes to the left, numbers to the right.
[[nodiscard]] inline std::string format_table(const std::vector<std::vector<std::string>>& rows,
                                              const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (i > 0 ? "  " : "") + (right[i] ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

}  // namespace detail

inline std::string Summary::text() const {
  std::vector<std::string> head{"layer", "type", "weights", "base", "late-phase"};
  std::vector<bool> right{false, false, false, true, true};
  if (traced) {
    head.insert(head.end(), {"output", "multiply-adds"});
    right.insert(right.end(), {false, true});
  }
  std::vector<std::vector<std::string>> rows{head};
  for (const LayerSummary& layer : layers) {
    std::string shapes;
    for (const Shape& shape : layer.shapes) shapes += (shapes.empty() ? "" : " ") + to_text(shape);
    rows.push_back({layer.name, layer.type, shapes, to_text(layer.base), to_text(layer.late)});
    if (!traced) continue;
    rows.back().push_back(layer.output ? to_text(*layer.output) : "-");
    rows.back().push_back(to_text(layer.multiply_adds));
  }
  rows.push_back({"all", "", "", to_text(total(&LayerSummary::base)), to_text(total(&LayerSummary::late))});
  if (traced) rows.back().insert(rows.back().end(), {"", to_text(total(&LayerSummary::multiply_adds))});
  return detail::format_table(rows, right) +
         to_text(parameters(), " parameters", members > 1 ? to_text(" of ", members, " members") : std::string(), ", ",
                 members * total(&LayerSummary::statistics), " running statistics\n");
}

/// A network's layers with their weights.
template <Visitable M>
[[nodiscard]] Summary summary(M& network) {
  return {detail::list_layers(network).layers, members(network)};
}

namespace detail {

/// Throws Error where a pass read a parameter that no visit() names.
inline void require_visited(const Trace& trace, const std::map<std::int64_t, std::size_t>& owner) {
  for (std::size_t i = 0; i < trace.values().size(); ++i) {
    const TracedValue& value = trace.values()[i];
    require(
        value.kind != TracedValue::Kind::leaf || owner.contains(static_cast<std::int64_t>(i)),
        "summary: forward reads a parameter ", value.shape,
        " that no visit() names: it is neither trained nor saved; name it, or the module that it is of, in visit()");
  }
}

}  // namespace detail

/// The same, and what each layer makes of a pass, run(tape), with the multiply-adds of its products with weights for
/// one member's samples: those of convolutions, linear layers, recurrent ones and matmul. Products of activations by
/// matmul, as attention's, are counted as a last line, "(activations)", where there are any; what norms, activations,
/// look-ups and arithmetic cost is not counted. It is run once, in evaluation. Throws as forward does, and Error where
/// it reads a parameter that no visit() names.
template <Visitable M, class Run>
  requires std::invocable<Run&, const Tape&>
[[nodiscard]] Summary summary(M& network, Run&& run) {
  auto list = detail::list_layers(network);
  Trace trace;
  const Tape tape({.record = false, .mode = Mode::evaluation, .trace = &trace});
  (void)run(tape);
  std::map<std::int64_t, std::size_t> owner;
  for_each_parameter(network, [&](const std::string&, const auto& parameter) {
    if (const auto value = trace.find(parameter.value()); value >= 0)
      owner.emplace(value, list.owner.at(parameter.id()));
  });
  detail::require_visited(trace, owner);
  detail::TraceReader(trace, std::move(owner), list.layers).read();
  return {std::move(list.layers), members(network), true};
}

/// The same of forward(x), an input [K, B, ...] of whatever type that takes.
template <Visitable M, class X>
[[nodiscard]] Summary summary(M& network, const Tensor<X, typename M::device_type>& input) {
  return summary(network, [&](const Tape& tape) { return network.forward(tape.input(input)); });
}

/// The same of one sample [...] in the network's type: [H, W, C] of images.
template <Visitable M>
[[nodiscard]] Summary summary(M& network, const Shape& sample) {
  using T = typename M::value_type;
  return summary(network, zeros<T, typename M::device_type>(sample.prepend(1).prepend(members(network))));
}
/// For what is no module: says so.
template <detail::NoModule M>
auto summary(M&, const Shape&) {
  return detail::not_a_module<M>();
}
/// For what is no module: says so.
template <detail::NoModule M>
auto summary(M&, auto&&...) {
  return detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::nn
