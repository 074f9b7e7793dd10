// A dense weight W [O, ..., C] and its form: what the members' weights W_k are made of beside W, or in its place.
// Layers ask a weight for what an operation takes and know of no form; release, or the network's constructor, gives
// weights their form, and collapse folds it into W again.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include <lpw/nn/forms/rank_one.hpp>
#include <lpw/nn/forms/templates.hpp>

namespace lpw::inline LPW_ABI::nn {

/// No form: W_k = W, or row k of W where W itself is a late-phase weight.
template <class W, class D>
struct Plain {
  static constexpr bool has_base = true;

  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Parameter<W, D>& base, const Variable<T, D>& x) const {
    return {base.on(x)};
  }
  template <class F>
  void visit(const std::string&, F&&) {}
  void fold(Parameter<W, D>&) const {}
};

/// All forms. Each has on(base, x), the members' weights on the tape of x; visit(weight, f), which calls f(name,
/// parameter) for what the weight of that name has beside its base; fold(base), which makes the base one member's
/// weight; and has_base, false where it makes the weight without one.
template <class W, class D>
using Form = std::variant<Plain<W, D>, RankOne<W, D>, Templates<W, D>>;

/// A trainable weight [O, ..., C] of a layer, or its bias [O]; the parameter that it is, is its base. Where the form
/// makes the weight without a base, the parameter is empty and not visited.
template <class W, class D>
class DenseWeight : public Parameter<W, D> {
 public:
  using Parameter<W, D>::Parameter;

  /// The members' weights on the tape of `x`, narrowed to the members that the pass computes.
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Variable<T, D>& x) const {
    return std::visit([&](const auto& form) { return form.on(*this, x); }, form_);
  }

  /// Gives the weight a form in place of the one it has.
  void attach(Form<W, D> form) {
    form_ = std::move(form);
    if (!has_base()) static_cast<Parameter<W, D>&>(*this) = Parameter<W, D>(Tensor<W, D>({1, 0}), this->group());
  }
  /// Multiplies, or adds, a collapsed form into the base and removes it.
  void fold() {
    std::visit([&](const auto& form) { form.fold(*this); }, form_);
    form_ = Plain<W, D>();
  }
  /// Its rank-1 factors, or null.
  [[nodiscard]] RankOne<W, D>* rank_one() { return std::get_if<RankOne<W, D>>(&form_); }
  /// What it is made of, or null.
  [[nodiscard]] Templates<W, D>* templates() { return std::get_if<Templates<W, D>>(&form_); }
  [[nodiscard]] bool has_base() const {
    return std::visit([](const auto& form) { return form.has_base; }, form_);
  }
  /// Whether release puts rank-1 factors on it if these are chosen: on a matrix or kernel that is a parameter, unless
  /// its layer says otherwise.
  [[nodiscard]] bool takes_factors() const { return takes_factors_ && has_base() && shape().rank() >= 2; }
  void set_takes_factors(bool takes) { takes_factors_ = takes; }
  /// Shape of one member's weights.
  [[nodiscard]] Shape shape() const {
    const auto* made = std::get_if<Templates<W, D>>(&form_);
    return made ? made->weight : Parameter<W, D>::shape();
  }

  /// Calls f(name, parameter) for the base and what the form adds, where the weight is called `name`.
  template <class F>
  void visit(const std::string& name, F&& f) {
    if (has_base()) Parameter<W, D>::visit(name, f);
    std::visit([&](auto& form) { form.visit(name, f); }, form_);
  }

 private:
  Form<W, D> form_;
  bool takes_factors_ = true;
};

}  // namespace lpw::inline LPW_ABI::nn
