// Recurrent modules: layers of cells, each with two dense weights and a bias for each, over the window's h of the one
// below.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/recurrent.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Recurrent layers.
struct RecurrentShape {
  std::int64_t in_features, hidden_features;  // of x, and of h
  std::int64_t layers = 1;                    // one above the other
  double dropout = 0;                         // between layers
};

/// A dense weight with its bias, as a layer has two.
template <class W, class D>
struct RecurrentWeights {
  DenseWeight<W, D> weight;  // [gates hidden, columns]
  Parameter<W, D> bias;      // [gates hidden]

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
  RecurrentWeights<W, D> ih, hh;  // of the layer's inputs; of its h before
};

namespace detail {

/// The layers of a module of that name, whose cells have so many gates.
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

}  // namespace detail

/// x [K, T, B, in] -> h of the last layer [K, T, B, hidden], time inside the member. Parameters have PyTorch's names,
/// shapes and order of gates: weight_ih_l0 [gates hidden, in], weight_hh_l0 [gates hidden, hidden], bias_ih_l0,
/// bias_hh_l0, ... A Kind has value_type, device_type, a State, its module's name, its number of gates,
/// zero_state(rows) and over(x, state, layer), a layer's pass over a window, which gives y and the state after it.
template <class Kind>
struct Recurrent {
  using value_type = typename Kind::value_type;
  using device_type = typename Kind::device_type;
  using W = Accumulate<value_type>;
  /// The state of every layer.
  using States = std::vector<typename Kind::State>;
  /// Its weights.
  using Layer = RecurrentLayer<W, device_type>;

  /// What a forward pass gives.
  struct Result {
    Variable<value_type, device_type> y;  // h of the last layer [K, T, B, hidden]
    States states;                        // after the last step
  };

  /// All weights uniform in [-1, 1) / sqrt(hidden), as PyTorch. Throws OptionError for an impossible shape.
  Recurrent(const RecurrentShape& s, Initializer& init)
      : shape(s), layers(detail::make_recurrent_layers<W, device_type>(Kind::name, s, Kind::gates, init)) {}

  /// Zeros for K members' minibatches of B.
  [[nodiscard]] States zero_states(std::int64_t members, std::int64_t batch) const {
    States states;
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      states.push_back(Kind::zero_state({members, batch, shape.hidden_features}));
    return states;
  }

  /// A window that goes on from `states`, which are data: no gradient leaves the window.
  [[nodiscard]] Result forward(Variable<value_type, device_type> x, const States& states) {
    require<ShapeError>(states.size() == layers.size(), Kind::name, ": states of ", states.size(), " layers for ",
                        layers.size());
    States after;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      if (layer > 0) x = dropout(x, shape.dropout);
      auto [y, state] = Kind::over(x, states[layer], layers[layer]);
      x = std::move(y);
      after.push_back(std::move(state));
    }
    return {std::move(x), std::move(after)};
  }

  /// A window that starts from zero states.
  [[nodiscard]] Variable<value_type, device_type> forward(const Variable<value_type, device_type>& x) {
    lpw::detail::require_axes(Kind::name, "[K T B I]", x.shape().rank() == 4, x.shape());
    return forward(x, zero_states(x.shape()[0], x.shape()[2])).y;
  }

  /// Calls f(name, weight) for all weights, by PyTorch's names: weight_ih_l0, bias_ih_l0, weight_hh_l0, bias_hh_l0, ...
  template <class F>
  void visit(F&& f) {
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      for (auto* weights : {&layers[layer].ih, &layers[layer].hh}) {
        const std::string name = (weights == &layers[layer].ih ? "ih_l" : "hh_l") + std::to_string(layer);
        f("weight_" + name, weights->weight);
        f("bias_" + name, weights->bias);
      }
  }

  RecurrentShape shape;       // sizes, and dropout between layers
  std::vector<Layer> layers;  // from the lowest
};

}  // namespace lpw::inline LPW_ABI::nn
