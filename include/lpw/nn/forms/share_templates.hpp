// Gives weights of a network one bank of templates, before it is trained: the hypernetwork is made of these.
#pragma once

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A bank: how many templates it has, how long they are along the weights' inputs, and how large.
struct TemplateBank {
  std::int64_t templates;   // E
  std::int64_t inputs = 0;  // of a template; the weights' are multiples of it; 0: those of the first weight
  double deviation = 0;     // of templates, and so of the weights; 0: He-normal by a template's own inputs. A look-up
                            // sums no inputs: an embedding that starts as N(0, 1) takes 1
};

namespace detail {

/// The weights, one that layers share once.
template <class W, class D>
[[nodiscard]] std::vector<DenseWeight<W, D>*> distinct(const std::vector<DenseWeight<W, D>*>& weights) {
  std::vector<DenseWeight<W, D>*> result;
  std::set<const void*> seen;
  for (auto* weight : weights)
    if (seen.insert(weight->id()).second) result.push_back(weight);
  return result;
}

/// Throws unless the bank can make these weights.
template <class W, class D>
void check_bank(const std::vector<DenseWeight<W, D>*>& weights, const TemplateBank& bank) {
  require<OptionError>(!weights.empty() && bank.templates >= 1 && bank.inputs >= 0, "share_templates: ", weights.size(),
                       " weights, templates ", bank.templates, ", inputs ", bank.inputs,
                       "; expected a weight and a template at least");
  require<OptionError>(bank.deviation >= 0 && is_finite(bank.deviation), "share_templates: deviation ", bank.deviation,
                       "; expected a finite number, 0 (He-normal) or more");
  const Shape first = weights.front()->shape();
  const std::int64_t inputs = bank.inputs > 0 ? bank.inputs : first[-1];
  for (const auto* weight : weights) {
    const Shape shape = weight->shape();
    require<ShapeError>(shape.rank() >= 2 && shape.slice(0, shape.rank() - 1) == first.slice(0, first.rank() - 1) &&
                            shape[-1] > 0 && shape[-1] % inputs == 0,
                        "share_templates: a weight ", shape, " in a bank of templates ",
                        first.with(first.rank() - 1, inputs), "; only its last extent may be another, a multiple");
    require<OptionError>(!weight->has_base() || weight->value().dim(0) == 1, "share_templates: a weight has ",
                         weight->value().dim(0), " member rows; collapse it first");
  }
}

/// Coefficients [layers parts, E] of layers of one shape: orthogonal, and divided by the mean of their norms, so that
/// on average a weight has the variance of its templates.
[[nodiscard]] inline Tensor<double, Cpu> orthogonal_coefficients(std::int64_t rows, std::int64_t templates,
                                                                 Initializer& init) {
  auto result = init.orthogonal(rows, templates);
  double norms = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    double square = 0;
    for (std::int64_t t = 0; t < templates; ++t) square += result.row(i)[t] * result.row(i)[t];
    norms += std::sqrt(square);
  }
  for (std::int64_t i = 0; i < result.size(); ++i) result.data()[i] *= static_cast<double>(rows) / norms;
  return result;
}

}  // namespace detail

/// Makes weights [O, ..., C] of one new bank, in place of parameters of their own; layers tied to them stay tied.
/// Templates [O, ..., inputs] are normal, `deviation` as the bank says; coefficients are orthogonal over the parts of
/// all layers of one shape. They are late-phase weights of Group::templates from the start, so that the optimizer's
/// rates for these hold before release too. Throws OptionError or ShapeError for weights that cannot share a bank.
template <class W, class D>
void share_templates(const std::vector<DenseWeight<W, D>*>& weights, const TemplateBank& bank, Initializer& init) {
  detail::check_bank(weights, bank);
  const Shape first = weights.front()->shape();
  const Shape shape = bank.inputs > 0 ? first.with(first.rank() - 1, bank.inputs) : first;
  const Shape rows = shape.prepend(bank.templates).prepend(1);
  const Parameter<W, D> templates(bank.deviation > 0 ? init.normal<W, D>(rows, bank.deviation)
                                                     : init.he_normal<W, D>(rows, shape.size() / shape[0]));
  std::map<std::int64_t, std::vector<DenseWeight<W, D>*>> by_parts;
  for (auto* weight : detail::distinct(weights)) by_parts[weight->shape()[-1] / shape[-1]].push_back(weight);
  for (const auto& [parts, layers] : by_parts) {
    const auto all = detail::orthogonal_coefficients(std::ssize(layers) * parts, bank.templates, init);
    std::int64_t row = 0;
    for (auto* weight : layers) {
      Tensor<W, Cpu> coefficients({1, parts, bank.templates});
      for (std::int64_t i = 0; i < coefficients.size(); ++i) coefficients.data()[i] = static_cast<W>(all.row(row)[i]);
      Parameter<W, D> late(to_device<D>(coefficients), Group::templates);
      late.set_late_phase(true);
      weight->attach(Templates<W, D>{std::move(late), templates, weight->shape()});
      row += parts;
    }
  }
}

/// Makes a bias [O] of templates of its own with the coefficients of its layer's weight. They start at zero. Throws
/// OptionError unless the weight is made of templates, in one part.
template <class W, class D>
void share_coefficients(DenseWeight<W, D>& weight, DenseWeight<W, D>& bias) {
  auto* form = weight.templates();
  require<OptionError>(
      form != nullptr && form->coefficients.shape()[0] == 1,
      "share_coefficients: expected a weight made of templates in one part, to share its coefficients");
  const Shape shape = bias.shape();
  bias.attach(Templates<W, D>{form->coefficients,
                              Parameter<W, D>(zeros<W, D>(shape.prepend(form->coefficients.shape()[1]).prepend(1))),
                              shape});
}

}  // namespace lpw::inline LPW_ABI::nn
