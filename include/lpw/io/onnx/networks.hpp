// The passes of networks whose inputs are known: those that take one input, and language models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/reshape.hpp>
#include <lpw/io/onnx/pass.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// A network with states that it carries from one window of symbols to the next, as nn::LanguageModel.
template <class M>
concept Recurrent = nn::Visitable<M> && requires(M& network) {
  typename M::States;
  network.start(1, 1);
};

/// Those of `input`, whose samples have that shape, to `logits` [batch, classes], or `output`.
template <nn::Module M>
[[nodiscard]] Passes list_passes(M& network, const Shape& sample) {
  return list_passes(network, [&](auto& pass) {
    std::vector<OnnxAxis> axes{"batch"};
    for (const std::int64_t extent : sample) axes.emplace_back(extent);
    const auto y = network.forward(pass.template input<typename M::value_type>("input", axes));
    if (y.shape().rank() == 3) return pass.logits("logits", y);
    pass.output("output", y);
  });
}

/// Those of `symbols` [steps, batch] and states to `logits` [steps, batch, vocabulary] and states.
template <Recurrent M>
[[nodiscard]] Passes list_passes(M& network) {
  using T = typename M::value_type;
  return list_passes(network, [&](auto& pass) {
    const auto name = [&](const char* kind, std::size_t layer, const char* when) {
      return pass.own(to_text(kind, layer, when));
    };
    const auto symbols = pass.template input<std::int32_t>("symbols", {"steps", "batch"});
    auto states = network.start(1, 1);
    for (std::size_t layer = 0; layer < states.size(); ++layer) {
      auto& state = states[layer];
      state.hidden = pass.template data<T>(name("hidden_l", layer, ""), {"batch", state.hidden.dim(2)});
      state.cell = pass.template data<Accumulate<T>>(name("cell_l", layer, ""), {"batch", state.cell.dim(2)});
    }
    const auto result = network.forward(symbols, states);
    const Shape &window = symbols.shape(), &rows = result.logits.shape();
    pass.logits("logits", reshape(result.logits, {1, window[1], window[2], rows[2]}));
    for (std::size_t layer = 0; layer < states.size(); ++layer) {
      pass.output(name("hidden_l", layer, "_after"), result.states[layer].hidden);
      pass.output(name("cell_l", layer, "_after"), result.states[layer].cell);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::io::onnx
