// From a traced pass to nodes: a Translation knows for each value of the trace what it is in the graph, and a Step is
// one traced operation as its translator (translators.hpp) sees it.
//
// A pass is of one member, whose axis no value of the graph has: [1, B, ...] is [B, ...]. lpw has channels last, ONNX's
// operators on images want them second. A value is in the graph in either order, or both: a translator asks for its
// operands in the order that it wants, and a node Transpose is made where they are not there yet. Operators that look
// at single elements take what is there, so that in a network of convolutions nothing is transposed.
//
// What is dynamic is known by two traces of the same pass: an extent that differs between them follows from an input's
// axis that has a name.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/autograd/trace.hpp>
#include <lpw/io/onnx/builder.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// An extent in the two traces.
struct Extent {
  std::int64_t first, second;
  [[nodiscard]] bool dynamic() const { return first != second; }
  friend bool operator==(const Extent&, const Extent&) = default;
};
using Extents = std::vector<Extent>;

/// In which order a value has its axes: as in lpw, or [B, C, ...].
enum class Order { last, second };

/// A named axis of an input.
struct NamedAxis {
  std::string name;
  Extent extent;
  Value input;        // of the graph, and
  std::int64_t axis;  // which of its axes
};

/// Axes of a value with `rank` axes, the member's not counted, from one order to the other: axis i of the result is
/// axis [i] of what there is.
[[nodiscard]] inline Dims to_second(std::int64_t rank) {
  Dims axes{0, rank - 1};
  for (std::int64_t axis = 1; axis + 1 < rank; ++axis) axes.push_back(axis);
  return axes;
}
[[nodiscard]] inline Dims to_last(std::int64_t rank) {
  Dims axes{0};
  for (std::int64_t axis = 2; axis < rank; ++axis) axes.push_back(axis);
  axes.push_back(1);
  return axes;
}

/// What the values of a trace are in a graph.
class Translation {
 public:
  Translation(const Trace& first, const Trace& second, Builder& builder)
      : first_(first), second_(second), builder_(builder) {}

  [[nodiscard]] Builder& builder() { return builder_; }
  [[nodiscard]] const Trace& trace() const { return first_; }
  [[nodiscard]] const Trace& other_trace() const { return second_; }
  void add_axis(NamedAxis axis) { axes_.push_back(std::move(axis)); }

  /// A value's extents without the member's.
  [[nodiscard]] Extents extents(std::int64_t value) const {
    const Shape &a = first_.values()[to_size(value)].shape, &b = second_.values()[to_size(value)].shape;
    require<OptionError>(a.rank() == b.rank() && a.rank() >= 1 && a[0] == 1 && b[0] == 1,
                         "save_onnx: a value of the pass is ", a, ", and of a larger input ", b,
                         "; expected one member's [1 ...] of the same number of axes");
    Extents result;
    for (int axis = 1; axis < a.rank(); ++axis) result.push_back({a[axis], b[axis]});
    return result;
  }

  void put(std::int64_t value, Value in_graph, Order order = Order::last) {
    values_[value][order == Order::last || !ordered(value) ? 0 : 1] = std::move(in_graph);
  }
  [[nodiscard]] bool has(std::int64_t value) const { return values_.contains(value); }
  /// Says of a value that it is zeros which the pass made itself, as many as its inputs' axes want.
  void put_zeros(std::int64_t value) { zeros_.insert(value); }
  [[nodiscard]] bool is_zeros(std::int64_t value) const { return zeros_.contains(value); }
  /// Whether a value is there with channels second.
  [[nodiscard]] bool is_second(std::int64_t value) const {
    const auto found = values_.find(value);
    return found != values_.end() && ordered(value) && found->second[1].has_value();
  }
  /// A value in that order.
  [[nodiscard]] Value get(std::int64_t value, Order order = Order::last) {
    const auto found = values_.find(value);
    require<OptionError>(found != values_.end(), "save_onnx: the pass reads a tensor ",
                         first_.values()[to_size(value)].shape,
                         " that is as large as a named axis and no input; make it one by the pass's input() or data(), "
                         "or give the axis a number");
    auto& orders = found->second;
    const std::size_t wanted = order == Order::last || !ordered(value) ? 0 : 1;
    if (!orders[wanted]) {
      const auto rank = std::ssize(extents(value));
      orders[wanted] = builder_.transpose(*orders[1 - wanted], wanted == 1 ? to_second(rank) : to_last(rank));
    }
    return *orders[wanted];
  }

  /// x in another shape of as many elements.
  [[nodiscard]] Value reshape(const Value& x, const Extents& shape) {
    Dims dims;
    for (const Extent& extent : shape) dims.push_back(extent.dynamic() ? -1 : extent.first);
    const auto dynamic = std::count(dims.begin(), dims.end(), -1);
    if (dynamic <= 1) return builder_.reshape(x, dims);
    // All but one of the dynamic extents are read from the inputs.
    std::vector<Value> parts;
    bool free = true;
    for (const Extent& extent : shape) parts.push_back(extent_in_graph(extent, free));
    return builder_.node("Reshape", {x, builder_.node("Concat", parts, {{"axis", std::int64_t{0}}})});
  }

 private:
  /// Whether the two orders of a value differ.
  [[nodiscard]] bool ordered(std::int64_t value) const { return first_.values()[to_size(value)].shape.rank() >= 4; }

  [[nodiscard]] Value extent_in_graph(const Extent& extent, bool& free) {
    if (!extent.dynamic()) return Builder::integers({extent.first});
    for (const NamedAxis& axis : axes_)
      if (axis.extent == extent)
        return builder_.node("Gather", {builder_.node("Shape", {axis.input}), Builder::integers({axis.axis})},
                             {{"axis", std::int64_t{0}}});
    require<OptionError>(std::exchange(free, false),
                         "save_onnx: a reshape has two extents that follow from named axes in an unknown way; give the "
                         "input numbers in place of names");
    return Builder::integers({-1});
  }

  const Trace &first_, &second_;
  Builder& builder_;
  std::vector<NamedAxis> axes_;
  std::map<std::int64_t, std::array<std::optional<Value>, 2>> values_;
  std::set<std::int64_t> zeros_;
};

/// An operation of the trace: operands and options in, nodes and results out.
class Step {
 public:
  Step(Translation& translation, std::size_t number)
      : translation_(translation),
        operation_(translation.trace().operations()[number]),
        other_(translation.other_trace().operations()[number]) {}

  [[nodiscard]] Translation& translation() const { return translation_; }
  [[nodiscard]] const std::string& name() const { return operation_.name; }

  [[nodiscard]] std::size_t operands() const { return operation_.inputs.size(); }
  [[nodiscard]] bool has(std::size_t operand) const { return operand < operands() && operation_.inputs[operand] >= 0; }
  [[nodiscard]] Value operand(std::size_t number, Order order = Order::last) const {
    return translation_.get(operation_.inputs[number], order);
  }
  /// Whether an operand is zeros that are no value of the graph.
  [[nodiscard]] bool is_zeros(std::size_t operand) const { return translation_.is_zeros(operation_.inputs[operand]); }
  [[nodiscard]] bool is_second(std::size_t operand) const { return translation_.is_second(operation_.inputs[operand]); }
  /// The order in which an operand is there: [B, C, ...] where it is in both.
  [[nodiscard]] Order order(std::size_t operand) const { return is_second(operand) ? Order::second : Order::last; }
  [[nodiscard]] Extents extents(std::size_t operand) const { return translation_.extents(operation_.inputs[operand]); }
  [[nodiscard]] Extents result_extents() const { return translation_.extents(operation_.outputs[0]); }
  [[nodiscard]] std::int64_t rank(std::size_t operand) const { return std::ssize(extents(operand)); }
  /// A parameter's extent, or another that is not dynamic.
  [[nodiscard]] std::int64_t fixed(std::size_t operand, std::size_t axis) const {
    const Extent extent = extents(operand)[axis];
    require<OptionError>(!extent.dynamic(), "save_onnx: '", name(), "' needs axis ", axis + 1, " of its operand ",
                         operand, " to be a number; give the input numbers for it in place of names");
    return extent.first;
  }

  [[nodiscard]] bool has_option(std::string_view option) const { return find(operation_, option) != nullptr; }
  /// An integer option.
  [[nodiscard]] std::int64_t option(std::string_view option, std::int64_t otherwise = 0) const {
    return both(option, otherwise).first;
  }
  /// The same in both traces.
  [[nodiscard]] Extent both(std::string_view option, std::int64_t otherwise = 0) const {
    const auto value = [&](const TracedOperation& operation) {
      const auto* found = find(operation, option);
      return found ? std::get<std::int64_t>(found->value) : otherwise;
    };
    return {value(operation_), value(other_)};
  }
  [[nodiscard]] double number(std::string_view option) const {
    const auto* found = find(operation_, option);
    return found ? std::visit([](auto value) { return static_cast<double>(value); }, found->value) : 0;
  }
  /// A window's option along height and width: `both`, or one for each axis.
  [[nodiscard]] std::array<std::int64_t, 2> per_axis(const std::string& stem, const std::string& together,
                                                     std::int64_t otherwise) const {
    const std::int64_t both = option(together, otherwise);
    return {option(stem + "_height", both), option(stem + "_width", both)};
  }

  [[nodiscard]] Value node(const std::string& type, const std::vector<Value>& inputs,
                           const Attributes& attributes = {}) const {
    return translation_.builder().node(type, inputs, attributes);
  }
  void result(const Value& value, Order order = Order::last, std::size_t number = 0) const {
    if (number < operation_.outputs.size()) translation_.put(operation_.outputs[number], value, order);
  }

  /// A row [C], such that it lies along the channels of a value with `rank` axes in that order.
  [[nodiscard]] Value along_channels(std::size_t operand, Order order, std::int64_t rank) const {
    const Value row = this->operand(operand);
    if (order == Order::last || rank < 3) return row;
    Dims dims(to_size(rank) - 1, 1);
    dims[0] = fixed(operand, 0);
    return translation_.builder().reshape(row, dims);
  }

  /// An axis of lpw's, the member's counted, in a value with `rank` axes in that order. Throws OptionError for the
  /// members' axis.
  [[nodiscard]] std::int64_t axis(std::int64_t traced, Order order, std::int64_t rank) const {
    require<OptionError>(traced > 0, "save_onnx: '", name(),
                         "' works along the members' axis, and a graph computes each member by itself");
    const std::int64_t last = traced - 1;
    if (order == Order::last || last == 0) return last;
    return last == rank - 1 ? 1 : last + 1;
  }

 private:
  [[nodiscard]] static const Attribute* find(const TracedOperation& operation, std::string_view option) {
    const auto found = std::find_if(operation.attributes.begin(), operation.attributes.end(),
                                    [&](const Attribute& attribute) { return attribute.name == option; });
    return found == operation.attributes.end() ? nullptr : &*found;
  }

  Translation& translation_;
  const TracedOperation &operation_, &other_;
};

}  // namespace lpw::inline LPW_ABI::io::onnx
