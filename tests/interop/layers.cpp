// Computes operations, losses, norms and a GRU, and their gradients, for layers.py to compare with PyTorch's:
//   layers OUT
// OUT is a safetensors file of doubles. Of each case it holds the operands "<case>.in.<name>" and what comes out,
// "<case>.out.<name>", with the gradients "<case>.grad.<name>" of the weighted sum of the output by
// "<case>.in.weights". Labels are doubles too. All have one member, whose axis is left out.
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/group_norm.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/autograd/kl_divergence.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/autograd/permute.hpp>
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
           const std::function<Value(const std::vector<Value>&)>& operation) {
    Tape tape;
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
  /// Without the member's axis.
  void put(const std::string& name, const Numbers& numbers) {
    content_.tensors.add(name, clone(numbers).reshaped(numbers.shape().slice(1, numbers.shape().rank())));
  }

  io::Safetensors content_;
};

void add_losses(Cases& cases) {
  const Shape batch{1, 6, 5};
  const auto x = normal(batch, 1), t = normal(batch, 2), p = shares(batch, 3, true), w = shares({1, 5}, 4);
  const auto class_weights = w.reshaped({5});
  Tensor<std::int32_t, Cpu> labels({1, 6});
  Numbers written({1, 6});
  for (std::int64_t i = 0; i < 6; ++i) {
    labels.data()[i] = i == 2 ? -100 : static_cast<std::int32_t>(i * 3 % 5);
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

void add_layers(Cases& cases) {
  cases.add("layer_norm", {{"x", normal({1, 4, 7}, 5)}, {"gamma", normal({1, 7}, 6)}, {"beta", normal({1, 7}, 7)}}, {},
            [](const auto& in) { return layer_norm(in[0], in[1], in[2]); });
  cases.add("group_norm",
            {{"x", normal({1, 3, 4, 5, 6}, 8)}, {"gamma", normal({1, 6}, 9)}, {"beta", normal({1, 6}, 10)}}, {},
            [](const auto& in) { return group_norm(in[0], 3, in[1], in[2]); });
  const std::int64_t inputs = 3, hidden = 4;
  cases.add("gru",
            {{"x", normal({1, 6, 2, inputs}, 11)},
             {"h", normal({1, 2, hidden}, 12)},
             {"weight_ih_l0", normal({1, 3 * hidden, inputs}, 13)},
             {"bias_ih_l0", normal({1, 3 * hidden}, 14)},
             {"weight_hh_l0", normal({1, 3 * hidden, hidden}, 15)},
             {"bias_hh_l0", normal({1, 3 * hidden}, 16)}},
            {}, [](const auto& in) {
              return gru(in[0], in[1], GruMatrix<double, Cpu>{in[2], in[3]}, GruMatrix<double, Cpu>{in[4], in[5]}).y;
            });
}

/// b has x's shape, or is repeated over axes that it lacks, or has with extent 1.
void add_arithmetic(Cases& cases) {
  const Shape in{1, 2, 3, 4};
  const auto x = normal(in, 20);
  const auto add_case = [&](const std::string& name, const auto& same, const auto& repeated) {
    cases.add(name, {{"x", x}, {"b", shares(in, 21)}}, {}, same);
    cases.add(name + "_rows", {{"x", x}, {"b", shares({1, 4}, 22)}}, {}, [=](const Values& v) {
      return repeated(v, Broadcast{{1, 2}});
    });
    cases.add(name + "_kept", {{"x", x}, {"b", shares({1, 2, 1, 4}, 23)}}, {},
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
}

void add_functions(Cases& cases) {
  const auto x = normal({1, 5, 6}, 24), positive = shares({1, 5, 6}, 25);
  cases.add("exp", {{"x", x}}, {}, [](const Values& v) { return exp(v[0]); });
  cases.add("log", {{"x", positive}}, {}, [](const Values& v) { return log(v[0]); });
  cases.add("sqrt", {{"x", positive}}, {}, [](const Values& v) { return sqrt(v[0]); });
  cases.add("sigmoid", {{"x", x}}, {}, [](const Values& v) { return sigmoid(v[0]); });
  cases.add("tanh", {{"x", x}}, {}, [](const Values& v) { return tanh(v[0]); });
  cases.add("gelu", {{"x", x}}, {}, [](const Values& v) { return gelu(v[0]); });
  cases.add("gelu_tanh", {{"x", x}}, {}, [](const Values& v) { return gelu(v[0], {.tanh = true}); });
  cases.add("silu", {{"x", x}}, {}, [](const Values& v) { return silu(v[0]); });
}

void add_shapes(Cases& cases) {
  const auto x = normal({1, 2, 3, 4}, 26), other = normal({1, 2, 5, 4}, 27);
  cases.add("sum", {{"x", x}}, {}, [](const Values& v) { return sum(v[0], {.over = {2}}); });
  cases.add("mean", {{"x", x}}, {}, [](const Values& v) { return mean(v[0], {.over = {1, -1}, .keep = true}); });
  cases.add("matmul", {{"a", x}, {"b", other}}, {},
            [](const Values& v) { return matmul(v[0], v[1], {.transpose_b = true}); });
  cases.add("softmax", {{"x", x}}, {}, [](const Values& v) { return softmax(v[0]); });
  cases.add("softmax_causal", {{"x", x}}, {}, [](const Values& v) { return softmax(v[0], {.causal = true}); });
  cases.add("concat", {{"a", x}, {"b", other}}, {}, [](const Values& v) { return concat(v, 2); });
  cases.add("slice", {{"x", other}}, {},
            [](const Values& v) { return slice(v[0], {.axis = 2, .first = 1, .count = 3}); });
  cases.add("permute", {{"x", x}}, {}, [](const Values& v) { return permute(v[0], {0, 3, 1, 2}); });
}

/// Two heads, of which each place reads itself and those before.
void add_attention(Cases& cases) {
  const Shape heads{1, 2, 6, 4};
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
    add_layers(cases);
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
