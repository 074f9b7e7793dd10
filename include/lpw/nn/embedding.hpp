// Embedding module.
#pragma once

#include <lpw/autograd/embedding.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Sizes of an Embedding's table.
struct EmbeddingShape {
  std::int64_t vocabulary, features;  // rows and columns
  bool factors = false;               // whether release puts rank-1 factors on the table, as on other layers' weights
  double deviation = 1;               // of its values at the start; 1 / sqrt(features) where a decoder shares the table
};

/// The rows of weight [vocabulary, features] at indices [K, B...]: [K, B..., features]. The table can be made of
/// templates, whatever its shape says of factors (of TemplateBank::deviation 1, to start as large as without); without
/// factors, rank-1 late-phase weights leave it shared, as the method does, which has them on the LSTM's matrices.
template <class T, class D>
struct Embedding {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// N(0, deviation^2), by default N(0, 1) as PyTorch. Throws OptionError for an impossible shape.
  Embedding(const EmbeddingShape& shape, Initializer& init)
      : weight(init.normal<W, D>(checked(shape), shape.deviation)) {
    weight.set_takes_factors(shape.factors);
  }

  /// [K, B...] -> [K, B..., features]. Throws ShapeError, and on the CPU Error for an index outside of the vocabulary.
  [[nodiscard]] Variable<T, D> forward(const Variable<std::int32_t, D>& indices) {
    return embedding<T, D>(indices, weight.on(indices));
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }

  DenseWeight<W, D> weight;  // [vocabulary, features]

 private:
  static Shape checked(const EmbeddingShape& s) {
    require<OptionError>(s.vocabulary > 0 && s.features > 0, "Embedding: vocabulary ", s.vocabulary, " and features ",
                         s.features, " must be positive");
    require<OptionError>(s.deviation > 0 && is_finite(s.deviation), "Embedding: deviation ", s.deviation,
                         "; expected a number above 0");
    return {1, s.vocabulary, s.features};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
