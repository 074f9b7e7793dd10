// The graph of traced passes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/onnx/options.hpp>
#include <lpw/io/onnx/pass.hpp>
#include <lpw/io/onnx/simplify.hpp>
#include <lpw/io/onnx/translators.hpp>

namespace lpw::inline LPW_ABI::io {

namespace onnx::detail {

class GraphMaker {
 public:
  GraphMaker(Passes& passes, const OnnxOptions& options)
      : passes_(passes), options_(options), translation_(passes.first, passes.second, builder_) {}

  [[nodiscard]] Graph make() {
    require_same_passes();
    for (const Passes::Input& input : passes_.inputs) add_input(input);
    add_constants();
    const auto needed = needed_operations();
    for (std::size_t i = 0; i < needed.size(); ++i)
      if (needed[i]) translate_operation(i);
    builder_.set_scope("");
    for (const Passes::Output& output : passes_.outputs) add_output(output);
    Graph graph = builder_.finish();
    simplify(graph, options_.fold_batch_norm);
    return graph;
  }

 private:
  /// What decides by sizes how it computes has no graph.
  void require_same_passes() const {
    const auto &first = passes_.first.operations(), &second = passes_.second.operations();
    bool same = first.size() == second.size();
    for (std::size_t i = 0; same && i < first.size(); ++i)
      same = first[i].name == second[i].name && first[i].inputs == second[i].inputs &&
             first[i].outputs == second[i].outputs;
    require<OptionError>(same,
                         "save_onnx: the network computes otherwise for inputs of another size; give the input's axes "
                         "numbers in place of names");
    require<OptionError>(!passes_.outputs.empty(), "save_onnx: the pass names no output");
  }

  [[nodiscard]] bool is_image(std::size_t axes) const { return options_.channels_first && axes == 4; }

  void add_input(const Passes::Input& input) {
    ValueInfo info{input.name, input.type, {}};
    const std::size_t rank = input.axes.size();
    const Dims order = is_image(rank) ? to_second(std::ssize(input.axes)) : Dims{};
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const OnnxAxis& own = input.axes[order.empty() ? axis : to_size(order[axis])];
      if (own.name.empty()) {
        info.dims.emplace_back(own.extent);
      } else {
        info.dims.emplace_back(own.name);
      }
    }
    const Value value = builder_.input(info);
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const auto& own = input.axes[order.empty() ? axis : to_size(order[axis])];
      if (!own.name.empty())
        translation_.add_axis({own.name, passes_.extents.at(own.name), value, static_cast<std::int64_t>(axis)});
    }
    translation_.put(input.value, value, order.empty() ? Order::last : Order::second);
  }

  void add_constants() {
    for (const auto& [number, named] : passes_.arrays)
      translation_.put(number, Builder::array(named.name, named.array));
    for (const auto& [number, array] : passes_.unnamed) {
      if (translation_.has(number)) continue;  // an input
      const Extents extents = translation_.extents(number);
      const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
      if (std::none_of(extents.begin(), extents.end(), [](const Extent& extent) { return extent.dynamic(); })) {
        translation_.put(number, Builder::array("constant", array));
      } else if (std::all_of(array.bytes->begin(), array.bytes->end(), is_zero)) {
        translation_.put_zeros(number);
      }
    }
  }

  /// Those that an output is made of.
  [[nodiscard]] std::vector<bool> needed_operations() const {
    const auto& operations = passes_.first.operations();
    std::set<std::int64_t> values;
    for (const Passes::Output& output : passes_.outputs) values.insert(output.values.begin(), output.values.end());
    std::vector<bool> needed(operations.size(), false);
    for (std::size_t i = operations.size(); i-- > 0;) {
      const auto& made = operations[i].outputs;
      needed[i] = std::any_of(made.begin(), made.end(), [&](std::int64_t value) { return values.contains(value); });
      if (needed[i]) values.insert(operations[i].inputs.begin(), operations[i].inputs.end());
    }
    return needed;
  }

  /// Nodes are called by the module whose weights they read, else by the operation.
  void translate_operation(std::size_t number) {
    const TracedOperation& operation = passes_.first.operations()[number];
    std::string scope = operation.name;
    for (const std::int64_t input : operation.inputs)
      if (const auto found = passes_.arrays.find(input); found != passes_.arrays.end()) {
        const std::string& name = found->second.name;
        scope = name.substr(0, name.rfind('.'));
        break;
      }
    builder_.set_scope(scope);
    translate(Step(translation_, number), options_.operators);
  }

  [[nodiscard]] ValueInfo describe(const std::string& name, const Extents& extents) const {
    ValueInfo info{name, ElementType::float32, {}};
    for (const Extent& extent : extents) {
      if (!extent.dynamic()) {
        info.dims.emplace_back(extent.first);
        continue;
      }
      std::string axis = to_text(name, ".axis", info.dims.size());
      for (const auto& [known, of_axis] : passes_.extents)
        if (of_axis == extent) axis = known;
      info.dims.emplace_back(axis);
    }
    return info;
  }

  /// A value as an output has it.
  [[nodiscard]] Value finished(std::int64_t value) {
    return translation_.get(value, is_image(translation_.extents(value).size()) ? Order::second : Order::last);
  }

  void add_output(const Passes::Output& output) {
    Extents extents = translation_.extents(output.values.front());
    if (is_image(extents.size())) {
      const Extents before = extents;
      const Dims order = to_second(std::ssize(extents));
      for (std::size_t axis = 0; axis < order.size(); ++axis) extents[axis] = before[to_size(order[axis])];
    }
    Value value = finished(output.values.front());
    if (output.values.size() > 1) {
      std::vector<Value> members;
      for (const std::int64_t each : output.values)
        members.push_back(builder_.node("Unsqueeze", {finished(each), Builder::integers({0})}));
      value = builder_.node("Concat", members, {{"axis", std::int64_t{0}}});
      extents.insert(extents.begin(), Extent{std::ssize(members), std::ssize(members)});
    }
    builder_.output(describe(output.name, extents), value);
    if (output.logits && options_.probabilities) add_probabilities(value, std::move(extents), output.values.size() > 1);
  }

  /// The ensemble's prediction is the mean of the members' softmax outputs, as predict_ensemble's.
  void add_probabilities(const Value& logits, Extents extents, bool members) {
    Value value = builder_.node("Softmax", {logits}, {{"axis", std::int64_t{-1}}});
    if (members) {
      value = builder_.node("ReduceMean", {value}, {{"axes", Dims{0}}, {"keepdims", std::int64_t{0}}});
      extents.erase(extents.begin());
    }
    builder_.output(describe("probabilities", extents), value);
  }

  Passes& passes_;
  const OnnxOptions& options_;
  Builder builder_;
  Translation translation_;
};

}  // namespace onnx::detail

namespace onnx {

/// The model of passes, with the options' metadata and the number of members.
[[nodiscard]] inline Model make_model(Passes& passes, const OnnxOptions& options) {
  Model model{detail::GraphMaker(passes, options).make(), options.metadata};
  model.metadata.emplace("members", std::to_string(passes.members));
  return model;
}

}  // namespace onnx

}  // namespace lpw::inline LPW_ABI::io
