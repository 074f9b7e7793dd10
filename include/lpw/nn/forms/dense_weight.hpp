// A dense weight W [O, ..., C] and its form: what the members' weights W_k are made of beside W. Layers ask a weight
// for what an operation takes and know of no form; release gives weights their form, and collapse folds it into W
// again.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include <lpw/nn/forms/rank_one.hpp>

namespace lpw::inline LPW_ABI::nn {

/// No form: W_k = W, or row k of W where W itself is a late-phase weight.
template <class W, class D>
struct Plain {
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Parameter<W, D>& base, const Variable<T, D>& x) const {
    return {base.on(x)};
  }
  template <class F>
  void visit(const std::string&, F&&) {}
  void fold(Parameter<W, D>&) const {}
};

/// All forms. Each has on(base, x), the members' weights on the tape of x; visit(weight, f), which calls f(name,
/// parameter) for what the weight of that name has beside its base; and fold(base), which makes the base one member's
/// weight.
template <class W, class D>
using Form = std::variant<Plain<W, D>, RankOne<W, D>>;

/// A trainable weight [O, ..., C] of a layer; the parameter that it is, is its base.
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
  void attach(Form<W, D> form) { form_ = std::move(form); }
  /// Multiplies, or adds, a collapsed form into the base and removes it.
  void fold() {
    std::visit([&](const auto& form) { form.fold(*this); }, form_);
    form_ = Plain<W, D>();
  }
  /// Its rank-1 factors, or null.
  [[nodiscard]] RankOne<W, D>* rank_one() { return std::get_if<RankOne<W, D>>(&form_); }

  /// Calls f(name, parameter) for the base and what the form adds, where the weight is called `name`.
  template <class F>
  void visit(const std::string& name, F&& f) {
    Parameter<W, D>::visit(name, f);
    std::visit([&](auto& form) { form.visit(name, f); }, form_);
  }

 private:
  Form<W, D> form_;
};

}  // namespace lpw::inline LPW_ABI::nn
