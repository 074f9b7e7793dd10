// Dense weights made of templates: member k computes with W_k = sum_t c_kt T_t over a bank of templates T that layers
// share (Savarese & Maire 2019; von Oswald et al. 2021, the hypernetwork). A weight [O, ..., C] may be cut along its
// inputs into parts, each with coefficients of its own, so that layers of different depth use one bank. Templates are
// base weights; coefficients are late-phase weights, with one row before release and a row for each member after it.
// The weight itself is no parameter: collapse makes it one.
#pragma once

#include <string>
#include <utility>

#include <lpw/autograd/member_weight.hpp>
#include <lpw/autograd/templates.hpp>
#include <lpw/nn/forms/naming.hpp>
#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// The form of a weight that is made of templates. Handles: layers of one bank hold the same templates, and a layer's
/// bias and weight the same coefficients.
template <class W, class D>
struct Templates {
  static constexpr bool has_base = false;  // the templates take its place

  Parameter<W, D> coefficients;  // [1 or K, parts, E]
  Parameter<W, D> templates;     // [1 or K, E, O, ..., C / parts]
  Shape weight;                  // [O, ..., C]

  /// The members' weights on the tape of x, made for this operation and again in its backward.
  template <class T>
  [[nodiscard]] MemberWeight<W, D> on(const Parameter<W, D>&, const Variable<T, D>& x) const {
    const auto c = coefficients.on(x), t = templates.on(x);
    return {.rows = combine_templates(c, t, weight), .remake = [sum = sum_of(c, t)] { return sum.weight(); }};
  }

  /// Calls f(name, parameter) for what the weight of that name is made of, "conv1.weight" of "conv1.coefficients" and
  /// "conv1.templates", and for their deviations.
  template <class F>
  void visit(const std::string& name, F&& f) {
    coefficients.visit(detail::name_beside(name, "coefficients"), f);
    templates.visit(detail::name_beside(name, "templates"), f);
  }

  /// Makes the base the weight, of single rows of coefficients and templates.
  void fold(Parameter<W, D>& base) const {
    const lpw::detail::TemplateSum<W, D> sum(coefficients.value(), templates.value(), weight);
    auto value = sum.weight();
    auto gradient = zeros<W, D>(value.shape());
    base.bind(std::move(value), std::move(gradient), nullptr);
  }

 private:
  [[nodiscard]] lpw::detail::TemplateSum<W, D> sum_of(const Variable<W, D>& c, const Variable<W, D>& t) const {
    return {c.value(), t.rows(), weight};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
