// What a tape records: its options, and a node for each operation and leaf, with a slot for its gradient and the step
// that takes it back to the operands' edges.
#pragma once

#include <algorithm>
#include <cassert>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lpw/autograd/gradient_watch.hpp>
#include <lpw/autograd/minibatch_cut.hpp>
#include <lpw/autograd/primitives.hpp>
#include <lpw/autograd/trace.hpp>
#include <lpw/primitives/gradient.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI {

/// What a pass is for. A `statistics` pass normalises like training, without dropout, and is one of several whose
/// minibatches batch norms pool into fresh running statistics.
enum class Mode { training, evaluation, statistics };

/// The members [first, first + count) that a pass computes; count 0 means all of them.
struct MemberRange {
  std::int64_t first = 0, count = 0;  // of K
};

/// All members 0..K-1 in ranges of at most `chunk` (0: one range): what member_chunk processes one after another.
[[nodiscard]] inline std::vector<MemberRange> member_chunks(std::int64_t members, std::int64_t chunk = 0) {
  require<OptionError>(chunk >= 0, "member_chunk ", chunk, " is negative");
  const std::int64_t step = chunk == 0 ? members : chunk;
  std::vector<MemberRange> ranges;
  for (std::int64_t first = 0; first < members; first += step)
    ranges.push_back({first, std::min(step, members - first)});
  return ranges;
}

/// What a pass is and does; see Tape.
struct TapeOptions {
  bool record = true;          // false: nothing is recorded and backward throws
  Mode mode = Mode::training;  // training, evaluation, or gathering statistics
  MemberRange members = {};    // late-phase parameters are read in this range
  double share = 1;            // Mode::statistics: of all samples seen so far, those of this pass; 1: the first
  /// For dropout: another step, Philox(seed, Stream::dropout, step), in every iteration. With it, dropout is active in
  /// evaluation, too.
  std::optional<Philox> random = {};
  Trace* trace = nullptr;  // where the pass is listed, recorded or not
  /// For dropout: of all members the first one of this process, where others have the rest (see distributed/).
  std::int64_t first_member = 0;
  SamplePart part = {};                          // of one member's minibatch, where other processes have the rest
  std::shared_ptr<const MinibatchCut> cut = {};  // by which batch norms normalise the whole of it
  std::shared_ptr<GradientWatch> watch = {};     // is told which gradients are finished while backward runs
};

namespace detail {

/// Gradient slot of a node, of whatever tensor type.
struct Slot {
  virtual ~Slot() = default;
  /// Where the gradient begins.
  [[nodiscard]] virtual const void* place() const = 0;
};

template <class T, class D>
struct GradientSlot final : Slot {
  explicit GradientSlot(const Shape& value) : shape(value) {}
  [[nodiscard]] const void* place() const override { return gradient.data(); }
  Shape shape;  // of the node's value
  Tensor<T, D> gradient;
  Tensor<double, D> sums;  // see Edge::put_sums
  bool borrowed = false;   // handed over by add(): others may hold its memory, so it is not written to while they do
};

struct Step {
  virtual ~Step() = default;
  virtual void run(Slot& slot) = 0;
};

template <class T, class D, class F>
struct StepOf final : Step {
  explicit StepOf(F step) : backward(std::move(step)) {}
  void run(Slot& slot) override {
    auto& [shape, gradient, sums, borrowed] = static_cast<GradientSlot<T, D>&>(slot);
    if (gradient.empty()) return;
    if constexpr (std::is_invocable_v<F&, Tensor<T, D>, const Tensor<double, D>&>) {
      backward(std::move(gradient), sums);
    } else {
      backward(std::move(gradient));
    }
  }
  F backward;
};

struct Recording {
  struct Node {
    std::unique_ptr<Slot> slot;
    std::unique_ptr<Step> step;  // none for leaves
  };
  TapeOptions options;
  std::vector<Node> nodes;
  std::uint64_t generation = 0;
  std::uint64_t random_operations = 0;
  std::int64_t members = 1;  // whose own weights were read

  /// The number in the trace, if there is one, of a tensor that comes from outside.
  template <class T, class D>
  [[nodiscard]] std::int64_t trace(TracedValue::Kind kind, const Tensor<T, D>& tensor) const {
    return options.trace ? options.trace->add(kind, tensor) : -1;
  }

  void clear() {
    while (!nodes.empty()) nodes.pop_back();
    ++generation;
    random_operations = 0;
    members = 1;
  }
};

/// A node without a step, whose gradient belongs to the caller.
template <class T, class D>
[[nodiscard]] std::int64_t add_leaf(Recording& recording, Tensor<T, D> gradient) {
  auto slot = std::make_unique<GradientSlot<T, D>>(gradient.shape());
  slot->gradient = std::move(gradient);
  recording.nodes.push_back({std::move(slot), nullptr});
  return static_cast<std::int64_t>(recording.nodes.size()) - 1;
}

}  // namespace detail

/// One input of a recorded operation, seen from its backward step: where that input's gradient goes. Captures no value.
template <class T, class D>
class Edge {
 public:
  Edge() = default;
  /// To a node of a tape's recording; none below 0.
  Edge(detail::Recording* recording, std::int64_t node) : recording_(recording), node_(node) {}

  /// False where nobody wants this gradient (an input image, say); then nothing else here may be called.
  [[nodiscard]] bool needed() const { return node_ >= 0; }
  /// Whether sink() gives a contiguous tensor; a leaf's gradient may lie strided, whatever its value does. Only where
  /// needed().
  [[nodiscard]] bool contiguous() const { return slot().gradient.contiguous(); }

  /// A tensor of `shape` for a backward primitive to write or add to. An existing gradient that is shared is copied
  /// first.
  [[nodiscard]] Gradient<T, D> sink(const Shape& shape) const {
    auto& slot = checked_slot(shape);
    slot.sums = {};
    if (slot.gradient.empty()) {
      slot.gradient = Tensor<T, D>(shape);
      return {slot.gradient, false};
    }
    if (slot.borrowed && !slot.gradient.unique()) slot.gradient = clone(slot.gradient);
    slot.borrowed = false;
    return {slot.gradient, true};
  }

  /// Adds a finished gradient; shares its memory where it is the first.
  void add(Tensor<T, D> gradient) const {
    auto& slot = checked_slot(gradient.shape());
    if (slot.gradient.empty()) {
      slot.gradient = gradient.contiguous() && !gradient.read_only() ? std::move(gradient) : clone(gradient);
      slot.borrowed = true;
      return;
    }
    auto target = sink(gradient.shape());
    add_in_place(target.tensor, gradient);
  }

  /// Hands sums over the whole gradient as it is now, gathered while it was written, to a backward step that takes them
  /// as its second argument. A later sink() or add() voids them. Only where needed(), and there is a gradient. Empty:
  /// none.
  void put_sums(Tensor<double, D> sums) const {
    assert(needed() && !slot().gradient.empty());
    slot().sums = std::move(sums);
  }

 private:
  [[nodiscard]] detail::GradientSlot<T, D>& slot() const {
    return static_cast<detail::GradientSlot<T, D>&>(*recording_->nodes[to_size(node_)].slot);
  }
  [[nodiscard]] detail::GradientSlot<T, D>& checked_slot(const Shape& shape) const {
    auto& slot = this->slot();
    require<ShapeError>(slot.shape == shape, "gradient: expected ", slot.shape, ", got ", shape,
                        "; the backward step passes a gradient of another shape than its input's");
    return slot;
  }
  detail::Recording* recording_ = nullptr;
  std::int64_t node_ = -1;
};

namespace detail {

/// A node between a strided leaf and an operation that wants contiguous memory: its gradient is added to the leaf's
/// rows.
template <class T, class D>
[[nodiscard]] Edge<T, D> contiguous_edge(Recording& recording, std::int64_t leaf, const Shape& shape) {
  auto step = [to = Edge<T, D>(&recording, leaf)](Tensor<T, D> dy) { to.add(std::move(dy)); };
  recording.nodes.push_back(
      {std::make_unique<GradientSlot<T, D>>(shape), std::make_unique<StepOf<T, D, decltype(step)>>(std::move(step))});
  return Edge<T, D>(&recording, static_cast<std::int64_t>(recording.nodes.size()) - 1);
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
