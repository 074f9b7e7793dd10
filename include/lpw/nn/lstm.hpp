// LSTM module: layers of lstm(), each over the window's h of the one below.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/lstm.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// An LSTM: features in and hidden, and its layers.
struct LstmShape {
  std::int64_t in_features, hidden_features;
  std::int64_t layers = 1;
  double dropout = 0;  // between layers
};

/// A dense weight with its bias, as a layer has two.
template <class W, class D>
struct LstmWeights {
  DenseWeight<W, D> weight;
  Parameter<W, D> bias;

  /// On the tape of `x`.
  template <class T>
  [[nodiscard]] LstmMatrix<W, D> on(const Variable<T, D>& x) const {
    auto [rows, factors, remake] = weight.on(x);
    return {std::move(rows), bias.on(x), std::move(factors), std::move(remake)};
  }
};

/// x [K, T, B, in] -> h of the last layer [K, T, B, hidden], time inside the member. Parameters have PyTorch's names,
/// shapes and order of gates: weight_ih_l0 [4 hidden, in], weight_hh_l0 [4 hidden, hidden], bias_ih_l0, bias_hh_l0, ...
template <class T, class D>
struct Lstm {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;
  /// The state of every layer.
  using States = std::vector<LstmState<T, D>>;

  /// The weights of the inputs and of the state before.
  struct Layer {
    LstmWeights<W, D> ih, hh;
  };
  /// What a forward pass gives.
  struct Result {
    Variable<T, D> y;  // h of the last layer [K, T, B, hidden]
    States states;     // after the last step
  };

  /// All weights uniform in [-1, 1) / sqrt(hidden), as PyTorch. Throws OptionError for an impossible shape.
  Lstm(const LstmShape& s, Initializer& init) : shape(checked(s)) {
    const std::int64_t gates = 4 * shape.hidden_features;
    const double bound = 1 / std::sqrt(static_cast<double>(shape.hidden_features));
    const auto weights = [&](std::int64_t columns) {
      return LstmWeights<W, D>{DenseWeight<W, D>(init.uniform<W, D>({1, gates, columns}, bound)),
                               Parameter<W, D>(init.uniform<W, D>({1, gates}, bound))};
    };
    for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
      auto ih = weights(layer == 0 ? shape.in_features : shape.hidden_features);
      layers.push_back({std::move(ih), weights(shape.hidden_features)});
    }
  }

  /// Zeros for K members' minibatches of B.
  [[nodiscard]] States zero_states(std::int64_t members, std::int64_t batch) const {
    States states;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      const Shape rows{members, batch, shape.hidden_features};
      states.push_back({zeros<T, D>(rows), zeros<W, D>(rows)});
    }
    return states;
  }

  /// A window that goes on from `states`, which are data: no gradient leaves the window.
  [[nodiscard]] Result forward(Variable<T, D> x, const States& states) {
    require<ShapeError>(states.size() == layers.size(), "Lstm: states of ", states.size(), " layers for ",
                        layers.size());
    States after;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      if (layer > 0) x = dropout(x, shape.dropout);
      const Variable<T, D> hidden({states[layer].hidden}, x.recording(), -1);
      const Variable<W, D> cell({states[layer].cell}, x.recording(), -1);
      auto [y, state] = lstm(x, hidden, cell, layers[layer].ih.on(x), layers[layer].hh.on(x));
      x = std::move(y);
      after.push_back(std::move(state));
    }
    return {std::move(x), std::move(after)};
  }

  /// A window that starts from zero states.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    require<ShapeError>(x.shape().rank() == 4, "Lstm: x is ", x.shape(), "; expected [K T B I]");
    return forward(x, zero_states(x.shape()[0], x.shape()[2])).y;
  }

  template <class F>
  void visit(F&& f) {
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      for (auto* weights : {&layers[layer].ih, &layers[layer].hh}) {
        const std::string name = (weights == &layers[layer].ih ? "ih_l" : "hh_l") + std::to_string(layer);
        f("weight_" + name, weights->weight);
        f("bias_" + name, weights->bias);
      }
  }

  LstmShape shape;
  std::vector<Layer> layers;

 private:
  static const LstmShape& checked(const LstmShape& s) {
    require<OptionError>(s.in_features > 0 && s.hidden_features > 0 && s.layers > 0, "Lstm: in_features ",
                         s.in_features, ", hidden_features ", s.hidden_features, " and layers ", s.layers,
                         " must be positive");
    require<OptionError>(s.dropout >= 0 && s.dropout < 1, "Lstm: dropout ", s.dropout, " is outside [0, 1)");
    return s;
  }
};

}  // namespace lpw::inline LPW_ABI::nn
