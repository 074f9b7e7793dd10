// Parameters and buffers: handles to the rows that a module's weights and running statistics occupy. A parameter has
// one row while it is a base weight, and a row per member once it is a late-phase weight; its memory is its own until
// flatten() moves it into a store.
#pragma once

#include <any>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/autograd/add_row.hpp>
#include <lpw/nn/member_share.hpp>

namespace lpw::inline LPW_ABI {

/// Which late-phase weights a parameter can become: gamma and beta of batch norms, weight and bias of the last layer,
/// rank-1 factors, coefficients of templates, gamma and beta of layer norms and of group norms, and own_group's.
/// Combine with |.
enum class Group : unsigned {
  none = 0,
  batch_norm = 1,
  head = 2,
  rank_one = 4,
  templates = 8,
  layer_norm = 16,
  group_norm = 32
};
/// A group of one's own, number 0 to 15, for parameters that release is to find together: give it to them where they
/// are made, or by set_group, and to release. Its selector is "own:NUMBER". Throws OptionError for another number.
[[nodiscard]] constexpr Group own_group(int number) {
  if (number < 0 || number > 15) fail<OptionError>("own_group: number ", number, "; expected one from 0 to 15");
  return Group(1u << (16 + number));
}
/// Both groups.
[[nodiscard]] constexpr Group operator|(Group a, Group b) { return Group(unsigned(a) | unsigned(b)); }
/// Whether any of `group` is in `set`.
[[nodiscard]] constexpr bool contains(Group set, Group group) { return (unsigned(set) & unsigned(group)) != 0; }

namespace nn {

template <class W, class D>
struct FlatWeights;

/// What a weight knows of the store it lies in.
struct Store {
  bool retired = false;  // a weight has left: moved to another store (by release or collapse, say), replaced by
                         // assignment, or destroyed
  std::shared_ptr<const MemberShare> share = {};  // where other processes hold some of the members; else null
};

/// Which store a weight lies in, if any. The store is retired as soon as the weight leaves it, so that whatever works
/// on stores (an optimizer, an average) can refuse to work on what no network has.
template <class W, class D>
class Residence {
 public:
  Residence() = default;
  Residence(const Residence& other) : share_(other.share_) {}  // a copy of a weight lies elsewhere
  Residence& operator=(const Residence&) = delete;
  ~Residence() { leave(); }

  /// Retires the store that it leaves, if it lies in one.
  void move_to(std::shared_ptr<FlatWeights<W, D>> flat) {
    if (flat != flat_) {
      leave();
      flat_ = std::move(flat);
      store_ = flat_.get();
    }
    share_ = store_ ? store_->share : nullptr;
  }
  /// The store, or null.
  [[nodiscard]] const std::shared_ptr<FlatWeights<W, D>>& store() const { return flat_; }
  /// The store's, or that of the store from which the weight was copied.
  [[nodiscard]] const std::shared_ptr<const MemberShare>& share() const { return share_; }

 private:
  void leave() {
    if (store_) store_->retired = true;
  }
  std::shared_ptr<FlatWeights<W, D>> flat_;
  Store* store_ = nullptr;  // *flat_, whose type may be incomplete
  std::shared_ptr<const MemberShare> share_;
};

/// A trainable weight. Copies of the handle are the same weight. It may have deviations phi [1 or K, ...] beside its
/// value theta: the members then compute with theta + phi_k (see forms/additive.hpp).
template <class W, class D>
class Parameter {
  static_assert(std::is_same_v<W, Accumulate<W>>,
                "lpw: parameters are float or double: nn::Parameter<lpw::Accumulate<T>, D> for activations of type T");

 public:
  /// A base weight of the given shape and initial value [1, ...]. Throws ShapeError unless the first extent is 1.
  explicit Parameter(Tensor<W, D> value, Group group = Group::none) : state_(std::make_shared<State>()) {
    require<ShapeError>(value.shape().rank() >= 1 && value.dim(0) == 1, "parameter: expected one member row, got ",
                        value.shape());
    state_->gradient = zeros<W, D>(value.shape());
    state_->value = std::move(value);
    state_->group = group;
  }

  /// [rows, ...]: one row, or a row per member. Without deviations, which are parameters of their own.
  [[nodiscard]] const Tensor<W, D>& value() const { return state_->value; }
  [[nodiscard]] Tensor<W, D>& value() { return state_->value; }
  /// Of value(), as backward has added it since the last step.
  [[nodiscard]] const Tensor<W, D>& gradient() const { return state_->gradient; }
  [[nodiscard]] Tensor<W, D>& gradient() { return state_->gradient; }
  /// Shape of one member's weights.
  [[nodiscard]] Shape shape() const { return value().shape().slice(1, value().shape().rank()); }
  /// What it is to a release.
  [[nodiscard]] Group group() const { return state_->group; }
  /// Before a release; own_group(i) for groups of one's own.
  void set_group(Group group) { state_->group = group; }
  /// Whether a release has made it a late-phase weight.
  [[nodiscard]] bool late_phase() const { return state_->late_phase; }
  /// As a release does, which gives it rows.
  void set_late_phase(bool late_phase) { state_->late_phase = late_phase; }
  /// Whether release puts rank-1 factors on it, if these are chosen and it is a dense weight.
  void set_takes_factors(bool takes) { state_->takes_factors = takes; }
  /// The store this parameter's memory belongs to, if any.
  [[nodiscard]] const std::shared_ptr<FlatWeights<W, D>>& home() const { return state_->home.store(); }
  /// Where other processes hold some of the members, which are here; else null.
  [[nodiscard]] const std::shared_ptr<const MemberShare>& share() const { return state_->home.share(); }
  /// Moves the handle's weight to other memory, which retires the store it was in.
  void bind(Tensor<W, D> value, Tensor<W, D> gradient, std::shared_ptr<FlatWeights<W, D>> home) {
    state_->value = std::move(value);
    state_->gradient = std::move(gradient);
    state_->home.move_to(std::move(home));
  }
  /// Identifies the weight behind the handle.
  [[nodiscard]] const void* id() const { return state_.get(); }
  /// The deviations, or null.
  [[nodiscard]] Parameter* deviations() { return state_->deviations.empty() ? nullptr : &state_->deviations.front(); }
  /// Gives the weight deviations in place of those it has.
  void set_deviations(Parameter deviations) { state_->deviations = {std::move(deviations)}; }
  /// Back to the value alone.
  void remove_deviations() { state_->deviations.clear(); }
  /// Calls f(name, parameter) for the weight, called `name`, and its deviations.
  template <class F>
  void visit(const std::string& name, F&& f) {
    f(name, *this);
    if (Parameter* const phi = deviations()) f(name + ".additive", *phi);
  }
  /// Makes this handle a weight of its own with the same contents. Deviations, and what a form holds, stay the same
  /// parameters.
  void detach() {
    auto copy = std::make_shared<State>(*state_);
    copy->value = clone(state_->value);
    copy->gradient = clone(state_->gradient);
    state_ = std::move(copy);
  }

  /// The parameter on the tape of `x`, with deviations where it has them, narrowed to the members that the pass
  /// computes.
  template <class T>
  [[nodiscard]] Variable<W, D> on(const Variable<T, D>& x) const {
    if (state_->deviations.empty()) return value_on(x);
    return add_row(state_->deviations.front().value_on(x), value_on(x));
  }

 protected:
  /// The form of a dense weight, which all handles of it share; empty: none was attached (see forms/dense_weight.hpp).
  [[nodiscard]] std::any& form_state() const { return state_->form; }
  /// Whether release puts rank-1 factors on it where these are chosen.
  [[nodiscard]] bool wants_factors() const { return state_->takes_factors; }

 private:
  template <class T>
  [[nodiscard]] Variable<W, D> value_on(const Variable<T, D>& x) const {
    require(value().size() > 0,
            "parameter: this weight is made of templates elsewhere, and a plain Parameter that shares it cannot read "
            "it; make that a DenseWeight");
    const auto& recording = x.recording();
    const MemberRange range = recording->options.members;
    if (value().dim(0) > 1) recording->members = range.count == 0 ? value().dim(0) : range.count;
    if (value().dim(0) == 1 || range.count == 0) return leaf(recording, value(), gradient());
    return leaf(recording, value().rows(range.first, range.count), gradient().rows(range.first, range.count));
  }

  struct State {
    Tensor<W, D> value, gradient;
    std::vector<Parameter> deviations;  // one or none
    Group group = Group::none;
    bool late_phase = false;
    bool takes_factors = true;
    std::any form;  // Form<W, D>, which parameters are made of
    Residence<W, D> home;
  };
  std::shared_ptr<State> state_;
};

/// State that is not trained: running statistics. Rows as for parameters; copies of the handle are the same buffer.
template <class W, class D>
class Buffer {
 public:
  /// One row, [1, ...]. Throws ShapeError unless the first extent is 1.
  explicit Buffer(Tensor<W, D> value) : state_(std::make_shared<State>()) {
    require<ShapeError>(value.shape().rank() >= 1 && value.dim(0) == 1, "buffer: expected one member row, got ",
                        value.shape());
    state_->value = std::move(value);
  }
  /// [rows, ...]: one row, or a row per member.
  [[nodiscard]] const Tensor<W, D>& value() const { return state_->value; }
  [[nodiscard]] Tensor<W, D>& value() { return state_->value; }
  /// Shape of one member's row.
  [[nodiscard]] Shape shape() const { return value().shape().slice(1, value().shape().rank()); }
  /// Moves it to other memory.
  void bind(Tensor<W, D> value) { state_->value = std::move(value); }
  /// Makes the handle a buffer of its own, with the same contents.
  void detach() {
    state_ = std::make_shared<State>(*state_);
    state_->value = clone(state_->value);
  }
  /// Identifies the buffer behind the handle.
  [[nodiscard]] const void* id() const { return state_.get(); }

  /// Whether these statistics were gathered with other weights than the network has now.
  [[nodiscard]] bool stale() const { return state_->stale; }
  /// As mark_statistics_stale and recompute_statistics do.
  void set_stale(bool stale) { state_->stale = stale; }

  /// The rows of the members that the pass of `x` computes.
  template <class T>
  [[nodiscard]] Tensor<W, D> on(const Variable<T, D>& x) const {
    const MemberRange range = x.recording()->options.members;
    return value().dim(0) == 1 || range.count == 0 ? value() : value().rows(range.first, range.count);
  }

 private:
  struct State {
    Tensor<W, D> value;
    bool stale = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace nn
}  // namespace lpw::inline LPW_ABI
