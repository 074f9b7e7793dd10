// The tape: a flat vector of nodes, run backwards by a plain loop. It is a value that the caller owns, not a global.
//
// Memory policy: the tape holds no values. A Variable carries its own value, an operation's backward step captures
// exactly the tensors it needs, and memory is shared by handles; so an activation lives as long as somebody may still
// read it and is freed in the middle of the backward pass, when the step that saved it has run. The tape holds one
// gradient slot per node.
#pragma once

#include <algorithm>
#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/autograd/recording.hpp>
#include <lpw/primitives/activation.hpp>

namespace lpw::inline LPW_ABI {

/// A value in a computation: a tensor (or an activation with a pending map) and its place on a tape. Cheap to copy. A
/// late-phase parameter's rows lie strided in their store. value() and edge() hide that by copying; operations that
/// take a parameter as such read it through rows() and row_edge().
template <class T, class D>
class Variable {
 public:
  /// As record() makes it: at a node of the tape, none below 0, and a number in its trace.
  Variable(Activation<T, D> value, std::shared_ptr<detail::Recording> recording, std::int64_t node,
           std::int64_t traced = -1)
      : value_(std::move(value)),
        recording_(std::move(recording)),
        node_(node),
        traced_(traced),
        generation_(recording_->generation) {}

  /// [K, ...]: members, their minibatches and the axes of one sample; of a parameter the rows, one or K, and the axes
  /// of its weights.
  [[nodiscard]] const Shape& shape() const { return value_.shape(); }
  /// Extent of an axis; negative ones count from the end.
  [[nodiscard]] std::int64_t dim(int axis) const { return shape()[axis]; }
  /// The finished tensor, contiguous; applies a pending map.
  [[nodiscard]] Tensor<T, D> value() const { return value_.raw.contiguous() ? materialize(value_) : clone(value_.raw); }
  /// The value as a convolution reads it, contiguous.
  [[nodiscard]] Activation<T, D> activation() const {
    Activation<T, D> result = value_;
    if (!result.raw.contiguous()) result.raw = clone(result.raw);
    return result;
  }
  /// Moments of value() where what made it has summed them; else empty.
  [[nodiscard]] Moments<Accumulate<T>, D> moments() const {
    return value_.pending() ? Moments<Accumulate<T>, D>() : value_.moments;
  }
  /// A parameter's member rows where they lie: each contiguous, row_stride() apart.
  [[nodiscard]] Tensor<T, D> rows() const { return value_.pending() ? value() : value_.raw; }

  /// The finished tensor, leaving this handle empty: if it was the last, the caller may overwrite the memory.
  [[nodiscard]] Tensor<T, D> take() && {
    Tensor<T, D> result = value();
    value_ = {};
    return result;
  }

  /// This variable's place on the tape without its value, for recording an operation that has taken the value.
  [[nodiscard]] Variable without_value() const { return Variable({}, recording(), node_, traced_); }

  /// Where the gradient of this value goes, contiguous. Throws TapeError if the tape was cleared since.
  [[nodiscard]] Edge<T, D> edge() const {
    const auto rows = row_edge();
    if (!rows.needed() || rows.contiguous()) return rows;
    return detail::contiguous_edge<T, D>(*recording_, node_, shape());
  }
  /// Where the gradient of a parameter goes: its member rows, strided as the gradient lies.
  [[nodiscard]] Edge<T, D> row_edge() const {
    check();
    return Edge<T, D>(recording_.get(), node_);
  }
  /// The tape it is on. Throws TapeError if that was cleared since.
  [[nodiscard]] const std::shared_ptr<detail::Recording>& recording() const {
    check();
    return recording_;
  }
  /// What the pass is for.
  [[nodiscard]] Mode mode() const { return recording()->options.mode; }
  /// Data on its tape: a mask or target, say, that an operation takes beside it. Throws TapeError as recording().
  template <class B>
  [[nodiscard]] Variable<B, D> constant(Tensor<B, D> value) const {
    const std::int64_t traced = recording()->trace(TracedValue::Kind::input, value);
    return Variable<B, D>({std::move(value)}, recording(), -1, traced);
  }
  /// False where no leaf is behind it, or nothing is recorded.
  [[nodiscard]] bool needs_gradient() const { return node_ >= 0; }
  /// Its number in the tape's trace, or -1.
  [[nodiscard]] std::int64_t traced() const { return traced_; }

  /// Ends the compilation with one line: a tape runs backwards, not a variable.
  template <class Nothing = void>
  void backward() const {
    static_assert(!std::is_void_v<Nothing>, "lpw: a tape runs backwards, tape.backward(loss), no variable");
  }

 private:
  void check() const {
    require<TapeError>(recording_ && generation_ == recording_->generation, "variable ", value_.shape(),
                       ": its tape has been cleared, run backwards, or destroyed; record the computation again, on a "
                       "tape with a name");
  }

  Activation<T, D> value_;
  std::shared_ptr<detail::Recording> recording_;
  std::int64_t node_, traced_;
  std::uint64_t generation_;
};

namespace detail {

template <class A>
inline constexpr bool is_variable = false;
template <class T, class D>
inline constexpr bool is_variable<Variable<T, D>> = true;

/// Two variables, or one and a number: no other type's operators are looked at.
template <class A, class B>
concept VariableOperands = (is_variable<A> && (is_variable<B> || std::is_arithmetic_v<B>)) ||
                           (std::is_arithmetic_v<A> && is_variable<B>);

/// What stands for the result of an operator that there is not, so that nothing else is said where it is used.
template <class A, class B>
[[nodiscard]] const auto& variable_of(const A& a, const B& b) {
  if constexpr (is_variable<A>)
    return a;
  else
    return b;
}

}  // namespace detail

/// Ends the compilation with one line: operations are functions, whose names say how shapes meet.
template <class A, class B>
  requires detail::VariableOperands<A, B>
auto operator+(const A& a, const B& b) {
  static_assert(std::is_void_v<A>, "lpw: a + b of variables is add(a, b), and x + number affine(x, {.shift = number})");
  return detail::variable_of(a, b);
}
/// As above.
template <class A, class B>
  requires detail::VariableOperands<A, B>
auto operator-(const A& a, const B& b) {
  static_assert(std::is_void_v<A>,
                "lpw: a - b of variables is sub(a, b), and x - number affine(x, {.shift = -number})");
  return detail::variable_of(a, b);
}
/// As above.
template <class A, class B>
  requires detail::VariableOperands<A, B>
auto operator*(const A& a, const B& b) {
  static_assert(std::is_void_v<A>,
                "lpw: a * b of variables is mul(a, b), of matrices matmul(a, b), and x * number affine(x, {.scale = "
                "number})");
  return detail::variable_of(a, b);
}
/// As above.
template <class A, class B>
  requires detail::VariableOperands<A, B>
auto operator/(const A& a, const B& b) {
  static_assert(std::is_void_v<A>,
                "lpw: a / b of variables is div(a, b), and x / number affine(x, {.scale = 1 / number})");
  return detail::variable_of(a, b);
}

/// A value on a tape whose gradient is added to `gradient`, a tensor of the same shape: how a parameter enters a
/// computation.
template <class T, class D>
[[nodiscard]] Variable<T, D> leaf(const std::shared_ptr<detail::Recording>& recording, Tensor<T, D> value,
                                  Tensor<T, D> gradient) {
  require<ShapeError>(value.shape() == gradient.shape(), "leaf: value ", value.shape(), ", gradient ",
                      gradient.shape());
  const std::int64_t node = recording->options.record ? detail::add_leaf(*recording, std::move(gradient)) : -1;
  const std::int64_t traced = recording->trace(TracedValue::Kind::leaf, value);
  return Variable<T, D>({std::move(value)}, recording, node, traced);
}

/// What a pass writes down to be run backwards: make one for each iteration, or clear it. Movable, not copyable; its
/// end makes the variables on it stale: name it where a computation goes on with them.
class Tape {
 public:
  /// A tape that nothing is on.
  Tape() : Tape(TapeOptions{}) {}
  /// The same; it refers to the trace in the options. A template, so that `({})` is the default and not ambiguous.
  template <std::same_as<TapeOptions> O = TapeOptions>
  explicit Tape(O options) : recording_(std::make_shared<detail::Recording>()) {
    recording_->options = options;
  }
  /// A tape that records nothing, with running statistics and without dropout.
  [[nodiscard]] static Tape evaluation(MemberRange members = {}) {
    return Tape({.record = false, .mode = Mode::evaluation, .members = members});
  }
  Tape(Tape&&) = default;
  Tape& operator=(Tape&&) = delete;
  ~Tape() {
    if (recording_) recording_->clear();
  }

  /// As the tape was made.
  [[nodiscard]] const TapeOptions& options() const { return recording_->options; }
  /// Number of recorded nodes.
  [[nodiscard]] std::size_t size() const { return recording_->nodes.size(); }

  /// A value without gradient: data.
  template <class T, class D>
  [[nodiscard]] Variable<T, D> input(Tensor<T, D> value) const {
    const std::int64_t traced = recording_->trace(TracedValue::Kind::input, value);
    return Variable<T, D>({std::move(value)}, recording_, -1, traced);
  }

  /// A value whose gradient is added to `gradient`, a tensor of the same shape that the caller has zeroed.
  template <class T, class D>
  [[nodiscard]] Variable<T, D> leaf(Tensor<T, D> value, Tensor<T, D> gradient) const {
    return lpw::leaf(recording_, std::move(value), std::move(gradient));
  }

  /// Adds d(sum_k loss_k)/d(leaf) to every leaf's gradient, then clears the tape. A loss is [K], each member's mean, or
  /// [1] of one network. Throws ShapeError for one of another shape, as the losses [K, B] of samples, whose sum would
  /// have a gradient B times as large, or [1] of K members, whose mean would have one K times as small, and TapeError
  /// if it was not recorded on this tape or the tape has been cleared.
  template <class T, class D>
  void backward(const Variable<T, D>& loss) {
    const Shape& shape = loss.shape();
    const std::int64_t found = shape.rank() == 0 ? 1 : shape[0], members = recording_->members;
    require<ShapeError>(shape.size() == found, "backward: the loss is ", shape,
                        "; expected one number for each member, [K]: reduce it by mean(loss), or hand over its "
                        "gradient");
    require<ShapeError>(members == 1 || found == members, "backward: the loss is ", shape, " of ", members,
                        " members; expected one number for each: keep their axis, as mean(loss) does, or hand over its "
                        "gradient");
    backward(loss, full<T, D>(shape, T(1)));
  }
  /// The same of an output of any shape, from the gradient of something by it, a tensor of that shape.
  template <class T, class D>
  void backward(const Variable<T, D>& output, Tensor<T, D> gradient) {
    require<TapeError>(output.recording() == recording_, "backward: the variable belongs to another tape");
    require<TapeError>(output.needs_gradient(),
                       "backward: nothing was recorded for this variable; is the tape switched off?");
    require<ShapeError>(gradient.shape() == output.shape(), "backward: the output is ", output.shape(),
                        ", its gradient ", gradient.shape(), "; expected the same shape");
    output.edge().add(std::move(gradient));
    struct Clear {  // also when a step throws: what is left of the nodes is of no use
      detail::Recording& recording;
      ~Clear() { recording.clear(); }
    } const clear{*recording_};
    auto& nodes = recording_->nodes;
    GradientWatch* const watch = recording_->options.watch.get();
    if (watch) watch->begin(leaves());
    while (!nodes.empty()) {
      auto node = std::move(nodes.back());
      nodes.pop_back();  // frees what the step saved as soon as it has run
      if (node.step) node.step->run(*node.slot);
      if (watch) [[unlikely]]
        node.step ? watch->step() : watch->leave(node.slot->place());
    }
  }

  /// Forgets everything recorded; variables recorded so far become stale.
  void clear() { recording_->clear(); }

 private:
  [[nodiscard]] std::vector<const void*> leaves() const {
    std::vector<const void*> places;
    for (const auto& node : recording_->nodes)
      if (!node.step) places.push_back(node.slot->place());
    return places;
  }

  std::shared_ptr<detail::Recording> recording_;
};

namespace detail {

/// An operand of record(): a variable, one that may be missing (a pointer), several, or a tensor that is data.
template <class T, class D>
[[nodiscard]] bool lies_on(const std::shared_ptr<Recording>& recording, const Variable<T, D>& operand) {
  return operand.recording() == recording;
}
template <class T, class D>
[[nodiscard]] bool lies_on(const std::shared_ptr<Recording>& recording, const Variable<T, D>* operand) {
  return operand == nullptr || lies_on(recording, *operand);
}
template <class T, class D>
[[nodiscard]] bool lies_on(const std::shared_ptr<Recording>& recording, const std::vector<Variable<T, D>>& operands) {
  return std::all_of(operands.begin(), operands.end(), [&](const auto& each) { return lies_on(recording, each); });
}
template <class T, class D>
[[nodiscard]] bool lies_on(const std::shared_ptr<Recording>&, const Tensor<T, D>&) {
  return true;
}

template <class T, class D>
[[nodiscard]] bool wants_gradient(const Variable<T, D>& operand) {
  return operand.needs_gradient();
}
template <class T, class D>
[[nodiscard]] bool wants_gradient(const Variable<T, D>* operand) {
  return operand != nullptr && operand->needs_gradient();
}
template <class T, class D>
[[nodiscard]] bool wants_gradient(const std::vector<Variable<T, D>>& operands) {
  return std::any_of(operands.begin(), operands.end(), [](const auto& each) { return each.needs_gradient(); });
}
template <class T, class D>
[[nodiscard]] bool wants_gradient(const Tensor<T, D>&) {
  return false;
}

template <class T, class D>
[[nodiscard]] std::int64_t traced_operand(Trace& trace, const Variable<T, D>& operand) {
  if (operand.traced() >= 0) return operand.traced();
  // A tensor that entered without Tape::input, as states do, is known by its memory like any other from outside.
  const Activation<T, D> value = operand.activation();
  return value.raw.empty() || value.pending() ? trace.add(TracedValue::Kind::input, operand.shape(), dtype_name<T>())
                                              : trace.add(TracedValue::Kind::input, value.raw);
}
template <class T, class D>
[[nodiscard]] std::int64_t traced_operand(Trace& trace, const Variable<T, D>* operand) {
  return operand == nullptr ? -1 : traced_operand(trace, *operand);
}
template <class T, class D>
[[nodiscard]] std::int64_t traced_operand(Trace& trace, const Tensor<T, D>& operand) {
  return operand.empty() ? -1 : trace.add(TracedValue::Kind::data, operand);
}

template <class Operand>
void add_traced(std::vector<std::int64_t>& inputs, Trace& trace, const Operand& operand) {
  inputs.push_back(traced_operand(trace, operand));
}
template <class T, class D>
void add_traced(std::vector<std::int64_t>& inputs, Trace& trace, const std::vector<Variable<T, D>>& operands) {
  for (const auto& each : operands) inputs.push_back(traced_operand(trace, each));
}

}  // namespace detail

/// Puts an operation on the tape of its inputs: `value` is its result, and `backward(dy)` is called once during the
/// backward pass with the gradient of the result, a tensor of the result's shape that the step may keep or overwrite if
/// it is unique(), or `backward(dy, sums)`, see Edge::put_sums. The step captures the inputs' edges and whatever
/// tensors it needs. Nothing is recorded where no input wants a gradient. Inputs are variables; after the first also
/// pointers to variables, null for one that is missing, vectors of variables, and tensors that are data. `operation`
/// and their order are what a Trace lists. Throws TapeError if the variables belong to different tapes.
///
/// docs/custom-operations.md shows one.
template <class T, class D, class F, class First, class... Rest>
[[nodiscard]] Variable<T, D> record(const Operation& operation, Activation<T, D> value, F backward, const First& first,
                                    const Rest&... rest) {
  const auto& recording = first.recording();
  require<TapeError>((detail::lies_on(recording, rest) && ...), "operation: its inputs belong to different tapes");
  const bool wanted = recording->options.record && (first.needs_gradient() || ... || detail::wants_gradient(rest));
  std::int64_t node = -1, traced = -1;
  if (wanted) {
    recording->nodes.push_back({std::make_unique<detail::GradientSlot<T, D>>(value.shape()),
                                std::make_unique<detail::StepOf<T, D, F>>(std::move(backward))});
    node = static_cast<std::int64_t>(recording->nodes.size()) - 1;
  }
  if (Trace* trace = recording->options.trace) [[unlikely]] {
    std::vector<std::int64_t> inputs{detail::traced_operand(*trace, first)};
    (detail::add_traced(inputs, *trace, rest), ...);
    traced = trace->add(TracedValue::Kind::result, value.shape(), dtype_name<T>());
    trace->add(operation, std::move(inputs), traced);
  }
  return Variable<T, D>(std::move(value), recording, node, traced);
}

/// The same for a result without a pending map: what most operations call.
template <class T, class D, class F, class First, class... Rest>
[[nodiscard]] Variable<T, D> record(const Operation& operation, Tensor<T, D> value, F backward, const First& first,
                                    const Rest&... rest) {
  return record(operation, Activation<T, D>{std::move(value)}, std::move(backward), first, rest...);
}

/// An operation without a name, which no export knows.
template <class T, class D, class F, class First, class... Rest>
[[nodiscard]] Variable<T, D> record(Activation<T, D> value, F backward, const First& first, const Rest&... rest) {
  return record(Operation(""), std::move(value), std::move(backward), first, rest...);
}

/// The same for a result without a pending map.
template <class T, class D, class F, class First, class... Rest>
[[nodiscard]] Variable<T, D> record(Tensor<T, D> value, F backward, const First& first, const Rest&... rest) {
  return record(Operation(""), std::move(value), std::move(backward), first, rest...);
}

}  // namespace lpw::inline LPW_ABI
