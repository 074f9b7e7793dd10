// Computes operations, losses, norms and recurrent layers of three members, and their gradients, for layers.py to
// compare with PyTorch's:
//   layers OUT
// OUT is a safetensors file of doubles. Of each case it holds the operands "<case>.in.<name>" and what comes out,
// "<case>.out.<name>", with the gradients "<case>.grad.<name>" of the weighted sum of the output by
// "<case>.in.weights". Labels are doubles too. The first axis is the members', of extent 1 for what they share.
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/add_row.hpp>
#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/embedding.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/group_norm.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/autograd/kl_divergence.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/lstm.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/autograd/permute.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/autograd/repeat_members.hpp>
#include <lpw/autograd/reshape.hpp>
#include <lpw/autograd/slice.hpp>
#include <lpw/autograd/softmax.hpp>
#include <lpw/autograd/sums.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/tensor/philox.hpp>

using namespace lpw;

namespace {

using Numbers = Tensor<double, Cpu>;
using Value = Variable<double, Cpu>;
using Values = std::vector<Value>;
using Named = std::vector<std::pair<std::string, Numbers>>;

constexpr std::int64_t K = 3;

Numbers normal(const Shape& shape, std::uint32_t draw) {
  const Philox random(9, Stream::test, draw);
  Numbers numbers(shape);
  for (std::int64_t i = 0; i < numbers.size(); ++i) numbers.data()[i] = random.normal(static_cast<std::uint64_t>(i));
  return numbers;
}

/// From 0.5 to 1.5, as weights of classes are; with `rows`, of which each adds up to 1.
Numbers shares(const Shape& shape, std::uint32_t draw, bool rows = false) {
  const Philox random(9, Stream::test, draw);
  Numbers numbers(shape);
  const std::int64_t columns = shape[-1];
  for (std::int64_t i = 0; i < numbers.size(); ++i)
    numbers.data()[i] = 0.5 + random.uniform(static_cast<std::uint64_t>(i));
  for (std::int64_t row = 0; rows && row < numbers.size() / columns; ++row) {
    double* first = numbers.data() + row * columns;
    double total = 0;
    for (std::int64_t c = 0; c < columns; ++c) total += first[c];
    for (std::int64_t c = 0; c < columns; ++c) first[c] /= total;
  }
  return numbers;
}

class Cases {
 public:
  /// Runs an operation on the tape for its output and the gradients of `inputs`; `data` are its other operands.
  void add(const std::string& name, const Named& inputs, const Named& data,
           const std::function<Value(const std::vector<Value>&)>& operation, Mode mode = Mode::training) {
    Tape tape({.mode = mode});
    std::vector<Value> variables;
    std::vector<Numbers> gradients;
    for (const auto& [input, value] : inputs) {
      gradients.push_back(zeros<double, Cpu>(value.shape()));
      variables.push_back(tape.leaf(value, gradients.back()));
      put(name + ".in." + input, value);
    }
    for (const auto& [operand, value] : data) put(name + ".in." + operand, value);
    const auto y = operation(variables);
    const auto value = clone(y.value()), weights = shares(y.shape(), 99);
    put(name + ".out.y", value);
    put(name + ".in.weights", weights);
    tape.backward(y, weights);
    for (std::size_t i = 0; i < inputs.size(); ++i) put(name + ".grad." + inputs[i].first, gradients[i]);
  }

  void save(const std::string& path) { io::save_safetensors(path, content_); }

 private:
  void put(const std::string& name, const Numbers& numbers) { content_.tensors.add(name, clone(numbers)); }

  io::Safetensors content_;
};

void add_losses(Cases& cases) {
  const Shape batch{K, 6, 5};
  const auto x = normal(batch, 1), t = normal(batch, 2), p = shares(batch, 3, true), w = shares({1, 5}, 4);
  const auto class_weights = w.reshaped({5});
  Tensor<std::int32_t, Cpu> labels({K, 6});
  Numbers written({K, 6});
  for (std::int64_t i = 0; i < 6 * K; ++i) {
    labels.data()[i] = i % 7 == 2 ? -100 : static_cast<std::int32_t>(i * 3 % 5);
    written.data()[i] = labels.data()[i];
  }
  for (const bool samples : {false, true}) {
    const auto reduction = samples ? Reduction::samples : Reduction::mean;
    const std::string of = samples ? "_samples" : "_mean";
    cases.add("mse" + of, {{"x", x}, {"t", t}}, {},
              [=](const auto& in) { return mse_loss(in[0], in[1], {.reduction = reduction}); });
    cases.add("l1" + of, {{"x", x}, {"t", t}}, {},
              [=](const auto& in) { return l1_loss(in[0], in[1], {.reduction = reduction}); });
    cases.add("bce" + of, {{"x", x}}, {{"t", p}, {"w", w}}, [=](const auto& in) {
      return binary_cross_entropy_with_logits(in[0], p, {.positive_weight = class_weights, .reduction = reduction});
    });
    cases.add("kl" + of, {{"p", x}, {"q", t}}, {},
              [=](const auto& in) { return kl_divergence(in[0], in[1], {.reduction = reduction}); });
    cases.add("labels" + of, {{"x", x}}, {{"t", written}, {"w", w}}, [=](const auto& in) {
      return cross_entropy(
          in[0], labels,
          {.label_smoothing = 0.1, .class_weights = class_weights, .ignore_index = -100, .reduction = reduction});
    });
    cases.add("probabilities" + of, {{"x", x}}, {{"t", p}, {"w", w}}, [=](const auto& in) {
      return cross_entropy(in[0], p, {.label_smoothing = 0.1, .class_weights = class_weights, .reduction = reduction});
    });
  }
}

void add_norms(Cases& cases) {
  cases.add("layer_norm", {{"x", normal({K, 4, 7}, 5)}, {"gamma", normal({1, 7}, 6)}, {"beta", normal({K, 7}, 7)}}, {},
            [](const Values& v) { return layer_norm(v[0], v[1], v[2]); });
  cases.add("group_norm",
            {{"x", normal({K, 3, 4, 5, 6}, 8)}, {"gamma", normal({K, 6}, 9)}, {"beta", normal({1, 6}, 10)}}, {},
            [](const Values& v) { return group_norm(v[0], 3, v[1], v[2]); });
  const Named operands{{"x", normal({K, 8, 4}, 40)}, {"gamma", normal({1, 4}, 41)}, {"beta", normal({K, 4}, 42)}};
  const auto own = [] {  // that training may move
    return RunningStatistics<double, Cpu>{normal({K, 4}, 44), shares({K, 4}, 45)};
  };
  cases.add("batch_norm", operands, {}, [=](const Values& v) { return batch_norm(v[0], v[1], v[2], own()); });
  Named with_residual = operands;
  with_residual.emplace_back("residual", normal({K, 8, 4}, 43));
  cases.add("batch_norm_add", with_residual, {},
            [=](const Values& v) { return batch_norm_add(v[0], v[3], v[1], v[2], own(), {.relu = true}); });
  cases.add(
      "batch_norm_evaluation", operands, {{"mean", own().mean}, {"variance", own().variance}},
      [=](const Values& v) { return batch_norm(v[0], v[1], v[2], own()); }, Mode::evaluation);
}

void add_layers(Cases& cases) {
  const auto x = normal({K, 5, 4}, 46), weight = normal({1, 3, 4}, 47), bias = normal({K, 3}, 48);
  cases.add("linear", {{"x", x}, {"weight", weight}, {"bias", bias}}, {},
            [](const Values& v) { return linear(v[0], v[1], v[2]); });
  cases.add("linear_own", {{"x", x}, {"weight", normal({K, 3, 4}, 49)}}, {},
            [](const Values& v) { return linear(v[0], v[1]); });
  cases.add("linear_factors",
            {{"x", x}, {"weight", weight}, {"r", shares({K, 3}, 50)}, {"s", shares({K, 4}, 51)}, {"bias", bias}}, {},
            [](const Values& v) {
              return linear(v[0], MemberWeight<double, Cpu>{v[1], RankOneFactors<double, Cpu>{v[2], v[3]}},
                            std::optional(v[4]));
            });
  Tensor<std::int32_t, Cpu> indices({K, 2, 4});
  Numbers written({K, 2, 4});
  for (std::int32_t i = 0; i < indices.size(); ++i) written.data()[i] = indices.data()[i] = i * 5 % 7;
  for (const bool own : {false, true})
    cases.add(own ? "embedding_own" : "embedding", {{"weight", normal({own ? K : 1, 7, 3}, 52)}},
              {{"indices", written}},
              [=](const Values& v) { return embedding<double, Cpu>(v[0].constant(indices), v[0]); });
  cases.add("global_average_pool", {{"x", normal({K, 2, 3, 4, 5}, 53)}}, {},
            [](const Values& v) { return global_average_pool(v[0]); });
}

/// The parameters of a recurrent layer of so many gates: the input's matrix and the states' bias are shared.
Named recurrent(std::int64_t gates) {
  const std::int64_t inputs = 3, hidden = 4;
  return {{"x", normal({K, 6, 2, inputs}, 11)},
          {"h", normal({K, 2, hidden}, 12)},
          {"weight_ih_l0", normal({1, gates * hidden, inputs}, 13)},
          {"bias_ih_l0", normal({K, gates * hidden}, 14)},
          {"weight_hh_l0", normal({K, gates * hidden, hidden}, 15)},
          {"bias_hh_l0", normal({1, gates * hidden}, 16)}};
}

void add_recurrent(Cases& cases) {
  cases.add("gru", recurrent(3), {}, [](const Values& v) {
    return gru(v[0], v[1], GruMatrix<double, Cpu>{v[2], v[3]}, GruMatrix<double, Cpu>{v[4], v[5]}).y;
  });
  const auto cell = normal({K, 2, 4}, 17);  // states are data here
  Named operands = recurrent(4);
  const Numbers h = operands[1].second;
  operands.erase(operands.begin() + 1);
  cases.add("lstm", operands, {{"h", h}, {"c", cell}}, [=](const Values& v) {
    return lstm(v[0], v[0].constant(h), v[0].constant(cell), LstmMatrix<double, Cpu>{v[1], v[2]},
                LstmMatrix<double, Cpu>{v[3], v[4]})
        .y;
  });
}

/// b has x's shape, or is repeated over axes that it lacks, or has with extent 1.
void add_arithmetic(Cases& cases) {
  const Shape in{K, 2, 3, 4};
  const auto x = normal(in, 20);
  const auto add_case = [&](const std::string& name, const auto& same, const auto& repeated) {
    cases.add(name, {{"x", x}, {"b", shares(in, 21)}}, {}, same);
    cases.add(name + "_rows", {{"x", x}, {"b", shares({1, 4}, 22)}}, {}, [=](const Values& v) {
      return repeated(v, Broadcast{{1, 2}});
    });
    cases.add(name + "_kept", {{"x", x}, {"b", shares({K, 2, 1, 4}, 23)}}, {},
              [=](const Values& v) { return repeated(v, Broadcast{{2}}); });
  };
  add_case(
      "add", [](const Values& v) { return add(v[0], v[1]); },
      [](const Values& v, const Broadcast& along) { return add(v[0], v[1], along); });
  add_case(
      "sub", [](const Values& v) { return sub(v[0], v[1]); },
      [](const Values& v, const Broadcast& along) { return sub(v[0], v[1], along); });
  add_case(
      "mul", [](const Values& v) { return mul(v[0], v[1]); },
      [](const Values& v, const Broadcast& along) { return mul(v[0], v[1], along); });
  add_case(
      "div", [](const Values& v) { return div(v[0], v[1]); },
      [](const Values& v, const Broadcast& along) { return div(v[0], v[1], along); });
  cases.add("affine", {{"x", x}}, {}, [](const Values& v) { return affine(v[0], {.scale = 2, .shift = -0.5}); });
  cases.add("add_row", {{"x", x}, {"b", normal(in.with(0, 1), 31)}}, {},
            [](const Values& v) { return add_row(v[0], v[1]); });
  cases.add("scale_channels", {{"x", x}, {"b", normal({1, 4}, 32)}}, {},
            [](const Values& v) { return scale_channels(v[0], v[1]); });
  cases.add("add_channels", {{"x", x}, {"b", normal({K, 4}, 33)}}, {},
            [](const Values& v) { return add_channels(v[0], v[1]); });
}

void add_functions(Cases& cases) {
  const auto x = normal({K, 5, 6}, 24), positive = shares({K, 5, 6}, 25);
  cases.add("exp", {{"x", x}}, {}, [](const Values& v) { return exp(v[0]); });
  cases.add("log", {{"x", positive}}, {}, [](const Values& v) { return log(v[0]); });
  cases.add("sqrt", {{"x", positive}}, {}, [](const Values& v) { return sqrt(v[0]); });
  cases.add("reciprocal", {{"x", positive}}, {}, [](const Values& v) { return reciprocal(v[0]); });
  cases.add("relu", {{"x", x}}, {}, [](const Values& v) { return relu(v[0]); });
  cases.add("sigmoid", {{"x", x}}, {}, [](const Values& v) { return sigmoid(v[0]); });
  cases.add("tanh", {{"x", x}}, {}, [](const Values& v) { return tanh(v[0]); });
  cases.add("gelu", {{"x", x}}, {}, [](const Values& v) { return gelu(v[0]); });
  cases.add("gelu_tanh", {{"x", x}}, {}, [](const Values& v) { return gelu(v[0], {.tanh = true}); });
  cases.add("silu", {{"x", x}}, {}, [](const Values& v) { return silu(v[0]); });
}

void add_shapes(Cases& cases) {
  const auto x = normal({K, 2, 3, 4}, 26), other = normal({K, 2, 5, 4}, 27);
  cases.add("sum", {{"x", x}}, {}, [](const Values& v) { return sum(v[0], {.over = {2}}); });
  cases.add("mean", {{"x", x}}, {}, [](const Values& v) { return mean(v[0], {.over = {1, -1}, .keep = true}); });
  cases.add("matmul", {{"a", x}, {"b", other}}, {},
            [](const Values& v) { return matmul(v[0], v[1], {.transpose_b = true}); });
  cases.add("matmul_shared", {{"a", x}, {"b", normal({1, 2, 3, 5}, 34)}}, {},
            [](const Values& v) { return matmul(v[0], v[1], {.transpose_a = true}); });
  cases.add("softmax", {{"x", x}}, {}, [](const Values& v) { return softmax(v[0]); });
  cases.add("softmax_causal", {{"x", x}}, {}, [](const Values& v) { return softmax(v[0], {.causal = true}); });
  cases.add("log_softmax", {{"x", x}}, {}, [](const Values& v) { return log_softmax(v[0]); });
  cases.add("concat", {{"a", x}, {"b", other}}, {}, [](const Values& v) { return concat(v, 2); });
  cases.add("slice", {{"x", other}}, {},
            [](const Values& v) { return slice(v[0], {.axis = 2, .first = 1, .count = 3}); });
  cases.add("split", {{"x", other}}, {}, [](const Values& v) {
    const auto parts = split(v[0], {.axis = 2, .extents = {1, 4}});
    return concat({parts[1], parts[0]}, 2);
  });
  cases.add("permute", {{"x", x}}, {}, [](const Values& v) { return permute(v[0], {0, 3, 1, 2}); });
  cases.add("transpose", {{"x", x}}, {}, [](const Values& v) { return transpose(v[0], 1, 3); });
  cases.add("reshape", {{"x", x}}, {}, [](const Values& v) { return reshape(v[0], {K, 4, -1}); });
  cases.add("repeat_members", {{"x", normal({1, 2, 3}, 35)}}, {},
            [](const Values& v) { return repeat_members(v[0], K); });
  const auto weights = shares({K, 6}, 36);
  cases.add("sample_mean", {{"x", normal({K, 6}, 37)}}, {{"w", weights}},
            [=](const Values& v) { return sample_mean(v[0], weights); });
}

/// Two heads, of which each place reads itself and those before.
void add_attention(Cases& cases) {
  const Shape heads{K, 2, 6, 4};
  cases.add("attention", {{"q", normal(heads, 28)}, {"k", normal(heads, 29)}, {"v", normal(heads, 30)}}, {},
            [](const Values& v) {
              const auto scores = matmul(v[0], v[1], {.transpose_b = true});
              return matmul(softmax(affine(scores, {.scale = 0.5}), {.causal = true}), v[2]);
            });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 2, "usage: layers OUT");
    Cases cases;
    add_losses(cases);
    add_norms(cases);
    add_layers(cases);
    add_recurrent(cases);
    add_arithmetic(cases);
    add_functions(cases);
    add_shapes(cases);
    add_attention(cases);
    cases.save(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
