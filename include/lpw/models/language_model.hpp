// A language model over a small vocabulary, bytes say: embedding, LSTM, and an output layer that can be released as a
// head.
#pragma once

#include <vector>

#include <lpw/autograd/reshape.hpp>
#include <lpw/nn/activation.hpp>
#include <lpw/nn/embedding.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/lstm.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Sizes of a LanguageModel.
struct LanguageModelOptions {
  std::int64_t hidden = 500;       // units of a layer
  std::int64_t layers = 1;         // of the LSTM
  std::int64_t embedding = 128;    // features
  double dropout = 0;              // of the embedding's and of every layer's output
  std::int64_t vocabulary = 256;   // symbols
  bool embedding_factors = false;  // whether rank-1 late-phase weights are factors of the embedding's table too
};

/// Logits of the symbol that follows each symbol of a window, and states to be carried to the next window.
template <class T, class D>
struct LanguageModel {
  using value_type = T;
  using device_type = D;
  /// Of the LSTM's layers.
  using States = typename Lstm<T, D>::States;

  /// What a forward pass gives.
  struct Result {
    Variable<T, D> logits;  // [K, T B, vocabulary], of the symbol that follows each
    States states;          // after the last step, as data
  };

  /// Throws OptionError for an impossible shape.
  LanguageModel(const LanguageModelOptions& options, Philox random) : LanguageModel(options, Initializer(random)) {}

  /// Symbols [K, T, B] in [0, vocabulary) from the states of the window before.
  [[nodiscard]] Result forward(const Variable<std::int32_t, D>& symbols, const States& states) {
    auto [y, after] = lstm.forward(dropout.forward(embedding.forward(symbols)), states);
    const Shape rows{y.shape()[0], y.shape()[1] * y.shape()[2], y.shape()[3]};
    return {head.forward(reshape(dropout.forward(y), rows)), std::move(after)};
  }

  /// States of zeros, for K members of B streams each.
  [[nodiscard]] States start(std::int64_t members, std::int64_t batch) const {
    return lstm.zero_states(members, batch);
  }

  template <class F>
  void visit(F&& f) {
    f("embedding", embedding);
    f("lstm", lstm);
    f("head", head);
  }

  Embedding<T, D> embedding;  // [vocabulary, features]
  Lstm<T, D> lstm;            // one above the other
  Dropout<T, D> dropout;      // of the embedding's output and of the LSTM's
  Linear<T, D> head;          // to logits, of all steps

 private:
  LanguageModel(const LanguageModelOptions& o, Initializer init)
      : embedding({.vocabulary = o.vocabulary, .features = o.embedding, .factors = o.embedding_factors}, init),
        lstm({.in_features = o.embedding, .hidden_features = o.hidden, .layers = o.layers, .dropout = o.dropout}, init),
        dropout(o.dropout),
        head({.in_features = o.hidden, .out_features = o.vocabulary, .head = true}, init) {}
};

/// The rows of some members of states.
template <class T, class D>
[[nodiscard]] std::vector<LstmState<T, D>> rows(const std::vector<LstmState<T, D>>& states, std::int64_t first,
                                                std::int64_t count) {
  std::vector<LstmState<T, D>> result;
  for (const auto& [hidden, cell] : states) result.push_back({hidden.rows(first, count), cell.rows(first, count)});
  return result;
}

}  // namespace lpw::inline LPW_ABI::nn
