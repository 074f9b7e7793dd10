// The passes that an export lists: a network's own forward, in evaluation, of one member after another, and of two
// sizes, by which the axes are known that the graph's inputs leave open. What they give is no template: the graph is
// made of it in graph.hpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/io/onnx/step.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::io {

/// An axis of an exported network's input: how long it is, or a name where that is left to who uses the network.
struct OnnxAxis {
  std::string name;         // where it is left open; else empty
  std::int64_t extent = 0;  // where it is fixed

  /// Left open, under this name.
  OnnxAxis(const char* free) : name(free) {}
  OnnxAxis(std::string free) : name(std::move(free)) {}
  /// So long.
  OnnxAxis(std::int64_t fixed) : extent(fixed) {}
  OnnxAxis(int fixed) : extent(fixed) {}
};

namespace onnx {

/// What the passes were, for both sizes.
struct Passes {
  struct Input {
    std::string name;
    std::vector<OnnxAxis> axes;
    ElementType type;
    std::int64_t value;  // its number in the traces
  };
  /// Of each member, or of one that the others do not have.
  struct Output {
    std::string name;
    bool logits;
    std::vector<std::int64_t> values;
  };
  /// A named tensor of the network.
  struct Named {
    std::string name;
    Array array;
  };
  Trace first, second;
  std::int64_t members = 1;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::map<std::int64_t, Named> arrays;   // by the tensors' numbers: parameters and running statistics, and
  std::map<std::int64_t, Array> unnamed;  // what else the pass brings along
  std::map<std::string, Extent> extents;  // of named axes

  /// The extent of an axis in both traces.
  [[nodiscard]] Extent extent(const OnnxAxis& axis) {
    if (axis.name.empty()) return {axis.extent, axis.extent};
    const auto number = static_cast<std::int64_t>(extents.size());
    return extents.emplace(axis.name, Extent{2 + number, 3 + 2 * number}).first->second;
  }
};

/// The elements on the host, without the member's axis, as graphs have them: numbers of any precision as float.
template <class X, class D>
[[nodiscard]] Array array_of(const Tensor<X, D>& tensor) {
  using Element = std::conditional_t<std::is_integral_v<X>, std::int64_t, float>;
  const auto host = to_host(tensor);
  std::vector<Element> values(to_size(host.size()));
  for (std::int64_t i = 0; i < host.size(); ++i) {
    if constexpr (std::is_integral_v<X>) {
      values[to_size(i)] = host.data()[i];
    } else {
      values[to_size(i)] = static_cast<float>(host.data()[i]);
    }
  }
  const Shape& shape = tensor.shape();
  return Array::of(values, Dims(shape.begin() + 1, shape.end()));
}

}  // namespace onnx

/// What a function for save_onnx is given for each pass: it makes inputs, calls the network and names the outputs, the
/// same ones each time.
template <class D>
class OnnxPass {
 public:
  /// For one pass over the network; save_onnx makes it.
  OnnxPass(onnx::Passes& passes, std::map<std::string, std::shared_ptr<void>>& inputs, Trace& trace,
           std::int64_t member)
      : passes_(passes),
        inputs_(inputs),
        trace_(trace),
        member_(member),
        tape_({.record = false, .mode = Mode::evaluation, .members = {member, 1}, .trace = &trace}) {}

  /// The member that this pass computes, of a plain network 0.
  [[nodiscard]] std::int64_t member() const { return member_; }
  /// A name for what each member has for itself, as states: in a graph with members "members.0.hidden".
  [[nodiscard]] std::string own(const std::string& name) const {
    return passes_.members == 1 ? name : to_text("members.", member_, '.', name);
  }

  /// An input of the graph, of X (a floating-point type, or 32-bit integers, which are 64-bit ones in the file), with
  /// these axes; here it is [1, axes...] on the tape, and an input of one name the same for all members.
  template <class X>
  [[nodiscard]] Variable<X, D> input(const std::string& name, const std::vector<OnnxAxis>& axes) {
    return tape_.input(data<X>(name, axes));
  }
  /// The same as data, as a network's states are.
  template <class X>
  [[nodiscard]] Tensor<X, D> data(const std::string& name, const std::vector<OnnxAxis>& axes) {
    const bool second = &trace_ == &passes_.second;
    Shape shape{1};
    for (const OnnxAxis& axis : axes) {
      const auto extent = passes_.extent(axis);
      shape.append(second ? extent.second : extent.first);
    }
    auto& kept = inputs_[name];
    const bool known = kept != nullptr;
    if (!known) kept = std::make_shared<Tensor<X, D>>(zeros<X, D>(shape));
    const auto& tensor = *std::static_pointer_cast<Tensor<X, D>>(kept);
    if (known) return tensor;
    const auto value = trace_.add(Trace::Kind::input, tensor);
    const auto type = std::is_integral_v<X> ? onnx::ElementType::int64 : onnx::ElementType::float32;
    if (!second) passes_.inputs.push_back({name, axes, type, value});
    return tensor;
  }

  /// Logits [1, B, classes] of the graph's output `name`: of K members' it is [K, B, classes], and `probabilities`
  /// beside it is the mean of their softmax [B, classes].
  template <class X>
  void logits(const std::string& name, const Variable<X, D>& value) {
    add(name, value.traced(), true);
  }
  /// Any output; of K members it is [K, ...], unless its name is own().
  template <class X>
  void output(const std::string& name, const Variable<X, D>& value) {
    add(name, value.traced(), false);
  }
  /// The same of data, as the states after a window are.
  template <class X>
  void output(const std::string& name, const Tensor<X, D>& value) {
    add(name, trace_.find(value), false);
  }

 private:
  void add(const std::string& name, std::int64_t value, bool logits) {
    require<OptionError>(value >= 0, "save_onnx: the output '", name, "' is not of this pass");
    if (&trace_ == &passes_.second) return;
    for (auto& output : passes_.outputs)
      if (output.name == name) return output.values.push_back(value);
    passes_.outputs.push_back({name, logits, {value}});
  }

  onnx::Passes& passes_;
  std::map<std::string, std::shared_ptr<void>>& inputs_;
  Trace& trace_;
  std::int64_t member_;
  Tape tape_;
};

namespace onnx {

/// What save_onnx and list_passes call.
template <class Pass, class D>
concept PassFunction = std::invocable < Pass&,
        OnnxPass<D>
& > ;

/// Notes the network's tensors that the passes read, by their names in a safetensors file: of a member its row, as
/// "members.0.fc.weight".
template <nn::Visitable M>
void name_arrays(M& network, Passes& passes) {
  const auto note = [&](const std::string& name, const auto& member) {
    const auto& value = member.value();
    const std::int64_t rows = value.dim(0);
    for (std::int64_t k = 0; k < rows; ++k) {
      const auto row = value.rows(k, 1);
      const std::int64_t number = passes.first.find(row);
      if (number < 0) continue;
      const auto own = rows == 1 ? name : to_text("members.", k, '.', name);
      passes.arrays.emplace(number, Passes::Named{own, array_of(row)});
    }
  };
  nn::for_each_parameter(network, note);
  nn::for_each_buffer(network, note);
}

template <class X, class D>
void note_unnamed(Passes& passes, std::int64_t number, const TracedValue& value) {
  if (value.dtype == dtype_name<X>())
    passes.unnamed.emplace(number, array_of(*std::static_pointer_cast<Tensor<X, D>>(value.kept)));
}

/// The same of what has no name: masks and the like that the pass brings along.
template <class T, class D>
void keep_unnamed(Passes& passes) {
  for (std::size_t i = 0; i < passes.first.values().size(); ++i) {
    const auto number = static_cast<std::int64_t>(i);
    const TracedValue& value = passes.first.values()[i];
    if (value.kind == TracedValue::Kind::result || !value.kept || passes.arrays.contains(number)) continue;
    note_unnamed<T, D>(passes, number, value);
    if constexpr (!std::is_same_v<T, Accumulate<T>>) note_unnamed<Accumulate<T>, D>(passes, number, value);
    note_unnamed<std::int32_t, D>(passes, number, value);
  }
}

/// Lists the passes of a network's members that `pass` makes: pass(OnnxPass<D>&).
template <nn::Visitable M, PassFunction<typename M::device_type> Pass>
[[nodiscard]] Passes list_passes(M& network, Pass&& pass) {
  using D = typename M::device_type;
  nn::require_all_members(nn::member_share(network), "save_onnx");
  Passes passes;
  passes.members = nn::members(network);
  const auto list = [&](Trace& trace) {
    std::map<std::string, std::shared_ptr<void>> inputs;
    for (std::int64_t member = 0; member < passes.members; ++member) {
      OnnxPass<D> listed(passes, inputs, trace, member);
      pass(listed);
    }
  };
  list(passes.first);
  list(passes.second);
  name_arrays(network, passes);
  keep_unnamed<typename M::value_type, D>(passes);
  return passes;
}

}  // namespace onnx

}  // namespace lpw::inline LPW_ABI::io
