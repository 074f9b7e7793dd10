// GRU module: layers of gru(), each over the window's h of the one below.
#pragma once

#include <utility>
#include <vector>

#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/nn/recurrent.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A GRU: features in and hidden, and its layers.
using GruShape = RecurrentShape;

/// x [K, T, B, in] -> h of the last layer [K, T, B, hidden], time inside the member. Parameters have PyTorch's names,
/// shapes and order of gates: weight_ih_l0 [3 hidden, in], weight_hh_l0 [3 hidden, hidden], bias_ih_l0, bias_hh_l0, ...
template <class T, class D>
struct Gru {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;
  /// The state of every layer.
  using States = std::vector<GruState<T, D>>;
  using Layer = RecurrentLayer<W, D>;

  /// What a forward pass gives.
  struct Result {
    Variable<T, D> y;  // h of the last layer [K, T, B, hidden]
    States states;     // after the last step
  };

  /// All weights uniform in [-1, 1) / sqrt(hidden), as PyTorch. Throws OptionError for an impossible shape.
  Gru(const GruShape& s, Initializer& init) : shape(s), layers(make_recurrent_layers<W, D>("Gru", s, 3, init)) {}

  /// Zeros for K members' minibatches of B.
  [[nodiscard]] States zero_states(std::int64_t members, std::int64_t batch) const {
    States states;
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      states.push_back({zeros<T, D>({members, batch, shape.hidden_features})});
    return states;
  }

  /// A window that goes on from `states`, which are data: no gradient leaves the window.
  [[nodiscard]] Result forward(Variable<T, D> x, const States& states) {
    require<ShapeError>(states.size() == layers.size(), "Gru: states of ", states.size(), " layers for ",
                        layers.size());
    States after;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      if (layer > 0) x = dropout(x, shape.dropout);
      const Variable<T, D> hidden({states[layer].hidden}, x.recording(), -1);
      auto [y, state] = gru(x, hidden, layers[layer].ih.on(x), layers[layer].hh.on(x));
      x = std::move(y);
      after.push_back(std::move(state));
    }
    return {std::move(x), std::move(after)};
  }

  /// A window that starts from zero states.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    require<ShapeError>(x.shape().rank() == 4, "Gru: x is ", x.shape(), "; expected [K T B I]");
    return forward(x, zero_states(x.shape()[0], x.shape()[2])).y;
  }

  template <class F>
  void visit(F&& f) {
    visit_recurrent_layers(layers, f);
  }

  GruShape shape;
  std::vector<Layer> layers;
};

}  // namespace lpw::inline LPW_ABI::nn
