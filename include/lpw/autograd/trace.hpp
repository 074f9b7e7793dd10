// What a forward pass computes, as a list: each operation with its name, attributes, inputs and outputs, in the order
// of the pass. That is what an export to another format walks over. A tape without a trace looks at one null pointer
// per operation.
//
// A trace knows values by number. Operations' results carry theirs in the Variable; what comes from outside
// (parameters, running statistics, labels, inputs) is known by its memory, which the trace keeps alive, so that a
// weight used twice is one value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// An option of an operation: "stride", 2. The name is a string literal; truth values are 0 and 1.
struct Attribute {
  const char* name;                          // a string literal
  std::variant<std::int64_t, double> value;  // truth values are 0 and 1
};

/// What record() is told of an operation: its name, and its options where it has some,
/// record({"conv2d", {{"stride", 2}}}, ...). They live as long as the call; nothing is copied unless the tape has a
/// trace.
class Operation {
 public:
  Operation(const char* name) : name_(name) {}  // a name alone is an operation: record("relu", ...)
  Operation(const char* name, std::initializer_list<Attribute> attributes)
      : Operation(name, std::span(attributes.begin(), attributes.size())) {}
  Operation(const char* name, std::span<const Attribute> attributes) : name_(name), attributes_(attributes) {}

  /// For tapes, like attributes(): both are valid during the call of record().
  [[nodiscard]] const char* name() const { return name_; }
  /// Its options, in order.
  [[nodiscard]] std::span<const Attribute> attributes() const { return attributes_; }

 private:
  const char* name_;
  std::span<const Attribute> attributes_;
};

/// A tensor that a traced pass reads or makes.
struct TracedValue {
  /// Where it comes from.
  enum class Kind {
    input,   // Tape::input
    leaf,    // Tape::leaf: a parameter
    data,    // a tensor that an operation reads beside its variables: running statistics, labels
    result,  // what an operation makes
  };
  Kind kind;          // where it comes from
  Shape shape;        // of the tensor
  std::string dtype;  // "F32", ...
  /// Of its first element; null for a Variable's, which may be another's or hold what a map is pending on.
  const void* memory;
  std::shared_ptr<void> kept;  // keeps the memory
};

/// A step of a traced pass. Inputs and outputs are numbers of values, inputs in the order of the operation's operands;
/// none is there for -1 (a linear layer's bias, say).
struct TracedOperation {
  std::string name;                   // "" for a custom operation that gave none
  std::vector<Attribute> attributes;  // in their order
  std::vector<std::int64_t> inputs;   // numbers of values, -1: none
  std::vector<std::int64_t> outputs;  // numbers of values
};

/// The list. A tape writes to the one in its options, which must outlive it; what several tapes compute is one list.
class Trace {
 public:
  /// Where a tensor comes from.
  using Kind = TracedValue::Kind;

  /// All tensors, by their numbers.
  [[nodiscard]] const std::vector<TracedValue>& values() const { return values_; }
  /// The steps in the order of the pass.
  [[nodiscard]] const std::vector<TracedOperation>& operations() const { return operations_; }

  /// The number of a tensor that came from outside (a parameter's value(), say), or -1 where the pass did not read it.
  template <class T, class D>
  [[nodiscard]] std::int64_t find(const Tensor<T, D>& tensor) const {
    return find(tensor.data(), tensor.shape(), dtype_name<T>());
  }

  /// The number of a tensor that comes from outside, a new one unless it is known. For tapes.
  template <class T, class D>
  std::int64_t add(Kind kind, const Tensor<T, D>& tensor) {
    if (const auto known = find(tensor); known >= 0) return known;
    return add(kind, tensor.shape(), dtype_name<T>(), tensor.data(), std::make_shared<Tensor<T, D>>(tensor));
  }
  /// A new value. For tapes.
  std::int64_t add(Kind kind, const Shape& shape, std::string_view dtype, const void* memory = nullptr,
                   std::shared_ptr<void> kept = nullptr) {
    values_.push_back({kind, shape, std::string(dtype), memory, std::move(kept)});
    return static_cast<std::int64_t>(values_.size()) - 1;
  }
  /// For tapes.
  void add(const Operation& operation, std::vector<std::int64_t> inputs, std::int64_t output) {
    const auto attributes = operation.attributes();
    operations_.push_back({operation.name(), {attributes.begin(), attributes.end()}, std::move(inputs), {output}});
  }
  /// Another result of the last operation, which is data for whatever comes after. For operations with more than one.
  template <class T, class D>
  void add_output(const Tensor<T, D>& tensor) {
    operations_.back().outputs.push_back(add(Kind::result, tensor));
  }

 private:
  [[nodiscard]] std::int64_t find(const void* memory, const Shape& shape, std::string_view dtype) const {
    for (std::size_t i = 0; memory && i < values_.size(); ++i)
      if (values_[i].memory == memory && values_[i].shape == shape && values_[i].dtype == dtype)
        return static_cast<std::int64_t>(i);
    return -1;
  }

  std::vector<TracedValue> values_;
  std::vector<TracedOperation> operations_;
};

/// A line for each operation: "%5 [2 4 8 8 16] = conv2d(%0 [2 4 8 8 3], %1 [1 16 3 3 3]) stride=1 padding=1".
[[nodiscard]] inline std::string describe(const Trace& trace) {
  const auto list = [&](const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const std::int64_t number : numbers) {
      if (!text.empty()) text += ", ";
      text += number < 0 ? "-" : to_text('%', number, ' ', trace.values()[to_size(number)].shape);
    }
    return text;
  };
  std::string text;
  for (const TracedOperation& operation : trace.operations()) {
    text += list(operation.outputs) + " = " + operation.name + '(' + list(operation.inputs) + ')';
    for (const Attribute& attribute : operation.attributes)
      std::visit([&](const auto value) { text += to_text(' ', attribute.name, '=', value); }, attribute.value);
    text += '\n';
  }
  return text;
}

}  // namespace lpw::inline LPW_ABI
