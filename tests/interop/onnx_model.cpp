// Exports networks to ONNX and writes what they compute here, for onnx_model.py to compare with onnxruntime:
//   onnx_model FOLDER
// For each network FOLDER has NAME.onnx and NAME.safetensors, with tensors of the names of the graph's inputs and
// outputs; images are channels last there.
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/average_pooling.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/autograd/conv1d.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/group_norm.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/autograd/permute.hpp>
#include <lpw/autograd/slice.hpp>
#include <lpw/autograd/softmax.hpp>
#include <lpw/autograd/sums.hpp>
#include <lpw/io/onnx.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/language_model.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/nn/activation.hpp>
#include <lpw/nn/sequential.hpp>

using namespace lpw;

namespace {

using Numbers = Tensor<float, Cpu>;
using Value = Variable<float, Cpu>;

/// Normal numbers, others at each call.
Numbers normal(const Shape& shape, double deviation = 1) {
  static std::uint32_t draw = 0;
  const Philox random(11, Stream::test, ++draw);
  Numbers numbers(shape);
  for (std::int64_t i = 0; i < numbers.size(); ++i)
    numbers.data()[i] = static_cast<float>(deviation * random.normal(static_cast<std::uint64_t>(i)));
  return numbers;
}

/// Weights and statistics that are no network's start: batch norms do something, and members differ.
template <class M>
void disturb(M& network) {
  const auto add = [&](auto& rows, double deviation) {
    const auto noise = normal(rows.shape(), deviation);
    for (std::int64_t k = 0; k < rows.dim(0); ++k)
      for (std::int64_t i = 0; i < rows.shape().size_from(1); ++i) rows.row(k)[i] += noise.row(k)[i];
  };
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) { add(parameter.value(), 0.1); });
  nn::for_each_buffer(network, [&](const std::string&, auto& buffer) { add(buffer.value(), 0.1); });
}

/// Operations on an input and weights of their own.
struct Operations {
  using value_type = float;
  using device_type = Cpu;
  using Function = std::function<Value(const std::vector<Value>& weights, const Value& x)>;

  std::vector<nn::Parameter<float, Cpu>> weights;
  Function function;

  Value forward(const Value& x) {
    std::vector<Value> on_tape;
    for (const auto& weight : weights) on_tape.push_back(weight.on(x));
    return function(on_tape, x);
  }
  template <class F>
  void visit(F&& f) {
    for (std::size_t i = 0; i < weights.size(); ++i) f(std::to_string(i), weights[i]);
  }
};

class Exports {
 public:
  explicit Exports(std::string folder) : folder_(std::move(folder)) {}

  void add(const std::string& name, const Shape& sample, const std::vector<Shape>& weights,
           Operations::Function function) {
    Operations operations{{}, std::move(function)};
    for (const Shape& shape : weights) operations.weights.emplace_back(normal(shape.prepend(1)));
    io::save_onnx(path(name, "onnx"), operations, sample, {.probabilities = false});
    const auto x = normal(sample.prepend(5).prepend(1));
    const auto y = operations.forward(Tape::evaluation().input(x)).value();
    write(name, {{"input", x}, {y.shape().rank() == 3 ? "logits" : "output", y}});
  }

  void add(const std::string& name, nn::WideResNet<float, Cpu>& network, const io::OnnxOptions& options = {}) {
    io::save_onnx(path(name, "onnx"), network, {16, 12, 3}, options);
    const auto x = normal({1, 5, 16, 12, 3});
    const std::int64_t members = nn::members(network);
    Numbers images({members, 5, 16, 12, 3});
    for (std::int64_t k = 0; k < members; ++k) {
      auto row = images.rows(k, 1);
      copy(x, row);
    }
    auto logits = network.forward(Tape::evaluation().input(images)).value();
    if (members > 1) logits = logits.reshaped(logits.shape().prepend(1));
    const auto mean = predict_ensemble(network, x);
    Numbers probabilities(mean.shape().prepend(1));
    for (std::int64_t i = 0; i < mean.size(); ++i) probabilities.data()[i] = static_cast<float>(mean.data()[i]);
    write(name, {{"input", x}, {"logits", logits}, {"probabilities", probabilities}});
  }

  /// A window of 4 steps of 2 streams, from states that are no zeros.
  void add(const std::string& name, nn::LanguageModel<float, Cpu>& network) {
    io::save_onnx(path(name, "onnx"), network);
    Tensor<std::int32_t, Cpu> symbols({1, 4, 2});
    for (std::int32_t i = 0; i < 8; ++i) symbols.data()[i] = (5 * i + 3) % 11;
    Numbers as_floats({1, 4, 2});
    for (std::int64_t i = 0; i < 8; ++i) as_floats.data()[i] = static_cast<float>(symbols.data()[i]);
    const std::int64_t members = nn::members(network);
    Numbers logits({members, 4 * 2, 11});
    Named tensors{{"symbols", as_floats}};
    for (std::int64_t k = 0; k < members; ++k) {
      const std::string own = members == 1 ? "" : to_text("members.", k, '.');
      auto states = network.start(1, 2);
      const auto name_all = [&](const char* when) {
        for (std::size_t layer = 0; layer < states.size(); ++layer) {
          tensors.emplace_back(to_text(own, "hidden_l", layer, when), clone(states[layer].hidden));
          tensors.emplace_back(to_text(own, "cell_l", layer, when), clone(states[layer].cell));
        }
      };
      for (auto& [hidden, cell] : states) hidden = normal(hidden.shape()), cell = normal(cell.shape());
      name_all("");
      auto result = network.forward(Tape::evaluation({k, 1}).input(symbols), states);
      states = std::move(result.states);
      name_all("_after");
      auto row = logits.rows(k, 1);
      copy(result.logits.value(), row);
    }
    tensors.emplace_back("logits",
                         members == 1 ? logits.reshaped({1, 4, 2, 11}) : logits.reshaped({1, members, 4, 2, 11}));
    write(name, tensors);
  }

 private:
  using Named = std::vector<std::pair<std::string, Numbers>>;

  [[nodiscard]] std::string path(const std::string& name, const char* ending) const {
    return to_text(folder_, '/', name, '.', ending);
  }
  void write(const std::string& name, const Named& tensors) const {
    io::Safetensors content;
    for (const auto& [own, tensor] : tensors) {
      const Shape& shape = tensor.shape();
      content.tensors.add(own, tensor.reshaped(shape.slice(1, shape.rank())));
    }
    io::save_safetensors(path(name, "safetensors"), content);
  }

  std::string folder_;
};

void add_networks(Exports& exports) {
  const nn::WideResNetOptions shape{.depth = 10, .widen = 1, .classes = 10};
  nn::WideResNet<float, Cpu> network(shape, Philox(1));
  disturb(network);
  exports.add("wide_resnet", network);
  exports.add("channels_last", network, {.channels_first = false});
  exports.add("folded", network, {.fold_batch_norm = true});
  for (const char* late : {"batchnorm,head", "rank1", "additive"}) {
    nn::WideResNet<float, Cpu> members(shape, Philox(2));
    release(members, {.members = 3, .late = Selectors::parse(late)});
    disturb(members);
    exports.add(to_text("members ", late), members, {.fold_batch_norm = true});
  }
  nn::WideResNet<float, Cpu> templates({.depth = 10, .widen = 1, .classes = 10, .templates = true}, Philox(3));
  release(templates, {.members = 2, .late = Group::templates});
  disturb(templates);
  exports.add("templates", templates);
  collapse(templates);
  exports.add("collapsed", templates);

  for (const std::int64_t members : {1, 2}) {
    nn::LanguageModel<float, Cpu> model(
        {.hidden = 7, .layers = 2, .embedding = 5, .vocabulary = 11, .embedding_factors = true}, Philox(4));
    if (members > 1) release(model, {.members = members, .late = Group::rank_one | Group::head});
    disturb(model);
    exports.add(to_text("language_model ", members), model);
  }
}

void add_images(Exports& exports) {
  const Shape images{7, 9, 6};
  const auto put = [&](const std::string& name, const std::vector<Shape>& weights, Operations::Function function) {
    exports.add(name, images, weights, std::move(function));
  };
  put("conv2d", {{4, 3, 2, 3}, {4}}, [](const auto& w, const Value& x) {
    return relu(conv2d(x, w[0], w[1], {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2}));
  });
  put("conv_transpose2d", {{6, 3, 2, 2}, {4}}, [](const auto& w, const Value& x) {
    return conv_transpose2d(x, w[0], w[1],
                            {.stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}, .groups = 2});
  });
  for (const bool ceil : {false, true}) {
    put(to_text("max_pool2d ", ceil), {}, [=](const auto&, const Value& x) {
      return max_pool2d(x, {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = ceil});
    });
    for (const bool counted : {false, true})
      put(to_text("average_pool2d ", ceil, counted), {}, [=](const auto&, const Value& x) {
        return average_pool2d(
            x, {.kernel_size = 3, .stride = 3, .padding = 1, .ceil_mode = ceil, .count_include_pad = counted});
      });
  }
  put("adaptive_average_pool2d", {}, [](const auto&, const Value& x) { return adaptive_average_pool2d(x, {3, 4}); });
  put("group_norm", {{6}, {6}}, [](const auto& w, const Value& x) { return group_norm(x, 3, w[0], w[1]); });
  put("channels", {{6}, {6}},
      [](const auto& w, const Value& x) { return add_channels(scale_channels(max_pool2d(x), w[0]), w[1]); });
  put("elementwise", {}, [](const auto&, const Value& x) {
    const auto gates = mul(silu(gelu(x)), add(gelu(x, {.tanh = true}), affine(tanh(x), {.scale = 2, .shift = -0.5})));
    return div(sub(gates, log(exp(x))), sqrt(affine(sigmoid(x), {.shift = 1})));
  });
  put("modules", {{4, 72}}, [](const auto& w, const Value& x) {
    nn::Sequential body{nn::Gelu<float, Cpu>(), nn::MaxPool2d<float, Cpu>(), nn::Tanh<float, Cpu>(),
                        nn::Flatten<float, Cpu>()};
    nn::Sequential last{nn::Silu<float, Cpu>(), nn::Sigmoid<float, Cpu>()};
    return last.forward(linear(body.forward(x), w[0]));
  });
  put("squeeze", {{6, 6}}, [](const auto& w, const Value& x) {
    return mul(relu(x), sigmoid(linear(global_average_pool(x), w[0])), {.over = {2, 3}});
  });
  put("concat", {{4, 3, 3, 6}}, [](const auto& w, const Value& x) {
    const auto y = conv2d(x, w[0], {.padding = 1});
    return slice(concat<float, Cpu>({y, relu(x), y}, -1), {.first = 3, .count = 7});
  });
  put("sums", {}, [](const auto&, const Value& x) {
    return sub(x, mean(x, {.over = {2, -1}, .keep = true}), {.over = {2, -1}});
  });
}

void add_sequences(Exports& exports) {
  const Shape sequences{8, 6};
  const auto put = [&](const std::string& name, const std::vector<Shape>& weights, Operations::Function function) {
    exports.add(name, sequences, weights, std::move(function));
  };
  put("conv1d", {{4, 3, 6}, {4, 3, 5}}, [](const auto& w, const Value& x) {
    return conv_transpose1d(relu(conv1d(x, w[0], {.stride = 2, .padding = 1})), w[1], {.stride = 2});
  });
  put("attention", {{6}, {6}}, [](const auto& w, const Value& x) {
    const Shape& in = x.shape();
    const auto y = layer_norm(x, w[0], w[1]);
    const auto heads = permute(reshape(y, {1, in[1], in[2], 2, 3}), {0, 1, 3, 2, 4});
    const auto scores = softmax(affine(matmul(heads, heads, {.transpose_b = true}), {.scale = 0.6}), {.causal = true});
    return add(reshape(transpose(matmul(scores, heads), 2, 3), in), x);
  });
  put("log_softmax", {}, [](const auto&, const Value& x) { return log_softmax(x); });
  put("gru", {{15, 6}, {15}, {15, 5}, {15}, {15}, {6}, {15}, {5}}, [](const auto& w, const Value& x) {
    const Value hidden({zeros<float, Cpu>({1, x.shape()[1], 5})}, x.recording(), -1);
    const GruMatrix<float, Cpu> ih{w[0], w[1], RankOneFactors<float, Cpu>{w[4], w[5]}},
        hh{w[2], w[3], RankOneFactors<float, Cpu>{w[6], w[7]}};
    return gru(transpose(x, 1, 2), hidden, ih, hh).y;
  });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 2, "usage: onnx_model FOLDER");
    Exports exports(argv[1]);
    add_networks(exports);
    add_images(exports);
    add_sequences(exports);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
