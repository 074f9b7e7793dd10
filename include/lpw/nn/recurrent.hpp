// What recurrent layers share as modules: their shape, and two dense weights with a bias each for every layer.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/recurrent.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Recurrent layers: features in and hidden, and how many.
struct RecurrentShape {
  std::int64_t in_features, hidden_features;
  std::int64_t layers = 1;
  double dropout = 0;  // between layers
};

/// A dense weight with its bias, as a layer has two.
template <class W, class D>
struct RecurrentWeights {
  DenseWeight<W, D> weight;
  Parameter<W, D> bias;

  /// On the tape of `x`.
  template <class T>
  [[nodiscard]] RecurrentMatrix<W, D> on(const Variable<T, D>& x) const {
    auto [rows, factors, remake] = weight.on(x);
    return {std::move(rows), bias.on(x), std::move(factors), std::move(remake)};
  }
};

/// The weights of a layer: of its inputs and of its state before.
template <class W, class D>
struct RecurrentLayer {
  RecurrentWeights<W, D> ih, hh;
};

/// The layers of a module of that name, whose cells have so many gates: all weights uniform in [-1, 1) / sqrt(hidden),
/// as PyTorch. Throws OptionError for an impossible shape.
template <class W, class D>
[[nodiscard]] std::vector<RecurrentLayer<W, D>> make_recurrent_layers(const char* module, const RecurrentShape& shape,
                                                                      std::int64_t gates, Initializer& init) {
  require<OptionError>(shape.in_features > 0 && shape.hidden_features > 0 && shape.layers > 0, module, ": in_features ",
                       shape.in_features, ", hidden_features ", shape.hidden_features, " and layers ", shape.layers,
                       " must be positive");
  require<OptionError>(shape.dropout >= 0 && shape.dropout < 1, module, ": dropout ", shape.dropout,
                       " is outside [0, 1)");
  const std::int64_t rows = gates * shape.hidden_features;
  const double bound = 1 / std::sqrt(static_cast<double>(shape.hidden_features));
  const auto weights = [&](std::int64_t columns) {
    return RecurrentWeights<W, D>{DenseWeight<W, D>(init.uniform<W, D>({1, rows, columns}, bound)),
                                  Parameter<W, D>(init.uniform<W, D>({1, rows}, bound))};
  };
  std::vector<RecurrentLayer<W, D>> layers;
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    auto ih = weights(layer == 0 ? shape.in_features : shape.hidden_features);
    layers.push_back({std::move(ih), weights(shape.hidden_features)});
  }
  return layers;
}

/// Calls f(name, weight) for all weights, by PyTorch's names: weight_ih_l0, bias_ih_l0, weight_hh_l0, bias_hh_l0, ...
template <class W, class D, class F>
void visit_recurrent_layers(std::vector<RecurrentLayer<W, D>>& layers, F&& f) {
  for (std::size_t layer = 0; layer < layers.size(); ++layer)
    for (auto* weights : {&layers[layer].ih, &layers[layer].hh}) {
      const std::string name = (weights == &layers[layer].ih ? "ih_l" : "hh_l") + std::to_string(layer);
      f("weight_" + name, weights->weight);
      f("bias_" + name, weights->bias);
    }
}

}  // namespace lpw::inline LPW_ABI::nn
