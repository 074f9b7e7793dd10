// A dense weight W [O, ..., C] and its form: what the members' weights W_k are made of beside W, or in its place.
// Layers ask a weight for what an operation takes and know of no form; release, or the network's constructor, gives
// weights their form, and collapse folds it into W again. Tied layers hold one weight, and with it one form.
#pragma once

#include <any>
#include <string>
#include <utility>
#include <variant>

#include <lpw/nn/forms/rank_one.hpp>
#include <lpw/nn/forms/templates.hpp>

namespace lpw::inline LPW_ABI::nn {

/// No form: W_k = W, or row k of W where W itself is a late-phase weight.
template <class W, class D>
struct Plain {
  static constexpr bool has_base = true;  // W is a parameter

  /// The parameter's rows.
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Parameter<W, D>& base, const Variable<T, D>& x) const {
    return {base.on(x)};
  }
  template <class F>
  void visit(const std::string&, F&&) {}
  /// Nothing is to be folded.
  void fold(Parameter<W, D>&) const {}
};

/// All forms. Each has on(base, x), the members' weights on the tape of x; visit(weight, f), which calls f(name,
/// parameter) for what the weight of that name has beside its base; fold(base), which makes the base one member's
/// weight; and has_base, false where it makes the weight without one.
template <class W, class D>
using Form = std::variant<Plain<W, D>, RankOne<W, D>, Templates<W, D>>;

/// A trainable weight [O, ..., C] of a layer, or its bias [O]; the parameter that it is, is its base. Where the form
/// makes the weight without a base, the parameter is empty and not visited. Copies of the handle are the same weight of
/// the same form: layers that share one stay tied whatever is attached to it.
template <class W, class D>
class DenseWeight : public Parameter<W, D> {
 public:
  using Parameter<W, D>::Parameter;

  /// The members' weights on the tape of `x`, narrowed to the members that the pass computes.
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Variable<T, D>& x) const {
    return std::visit([&](const auto& form) { return form.on(*this, x); }, form());
  }

  /// Gives the weight, for all handles of it, a form in place of the one it has.
  void attach(Form<W, D> form) {
    this->form_state() = std::move(form);
    if (has_base()) return;
    this->bind(Tensor<W, D>({1, 0}), Tensor<W, D>({1, 0}), nullptr);
    this->remove_deviations();
    this->set_late_phase(false);
  }
  /// Multiplies, or adds, a collapsed form into the base and removes it; of a weight that layers share, once.
  void fold() {
    std::visit([&](const auto& form) { form.fold(*this); }, form());
    this->form_state().reset();
  }
  /// Its rank-1 factors, or null.
  [[nodiscard]] RankOne<W, D>* rank_one() { return form_as<RankOne<W, D>>(); }
  /// What it is made of, or null.
  [[nodiscard]] Templates<W, D>* templates() { return form_as<Templates<W, D>>(); }
  /// Whether its form has a base parameter, which is visited.
  [[nodiscard]] bool has_base() const {
    return std::visit([](const auto& form) { return form.has_base; }, form());
  }
  /// Whether release puts rank-1 factors on it if these are chosen: on a matrix or kernel that is a parameter, unless
  /// its layer, or set_takes_factors, says otherwise. Of layers that are tied the one whose weight they share says so.
  [[nodiscard]] bool takes_factors() const { return this->wants_factors() && has_base() && shape().rank() >= 2; }
  /// Shape of one member's weights.
  [[nodiscard]] Shape shape() const {
    const auto* made = std::get_if<Templates<W, D>>(&form());
    return made ? made->weight : Parameter<W, D>::shape();
  }

  /// Calls f(name, parameter) for the base and what the form adds, where the weight is called `name`.
  template <class F>
  void visit(const std::string& name, F&& f) {
    if (has_base()) Parameter<W, D>::visit(name, f);
    if (auto* form = any_form()) std::visit([&](auto& some) { some.visit(name, f); }, *form);
  }

 private:
  /// What was attached, or null.
  [[nodiscard]] Form<W, D>* any_form() const { return std::any_cast<Form<W, D>>(&this->form_state()); }
  [[nodiscard]] const Form<W, D>& form() const {
    static const Form<W, D> plain;
    const auto* attached = any_form();
    return attached ? *attached : plain;
  }
  template <class Kind>
  [[nodiscard]] Kind* form_as() const {
    return std::get_if<Kind>(any_form());
  }
};

}  // namespace lpw::inline LPW_ABI::nn
