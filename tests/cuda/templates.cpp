// Weights made of templates on the GPU: the same sums as on the CPU, in layers of any element type.
#include "cuda/support.hpp"

#include <lpw/autograd/elementwise.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/embedding.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/lstm.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Rows of a weight and, from a gradient that is drawn for them, those of its coefficients and templates.
template <class D>
struct Rows {
  Tensor<float, Cpu> weight, dcoefficients, dtemplates;

  Rows(const Tensor<float, Cpu>& coefficients, const Tensor<float, Cpu>& templates, const Shape& shape) {
    Tape tape;
    auto dc = full<float, D>(coefficients.shape(), 0.5F), dt = full<float, D>(templates.shape(), 0.5F);
    const auto made =
        combine_templates(tape.leaf(to_device<D>(coefficients), dc), tape.leaf(to_device<D>(templates), dt), shape);
    weight = to_host(made.value());
    tape.backward(made, to_device<D>(random_tensor<float>(weight.shape(), 9)));
    dcoefficients = to_host(dc);
    dtemplates = to_host(dt);
  }
};

/// A layer of templates with three members on a device: outputs and the gradients of both stores, two members at a
/// time.
template <class Layer, class Weights, class X>
std::vector<double> computed(Layer layer, const Weights& weights_of, std::int64_t inputs, const Tensor<X, Cpu>& host) {
  using T = typename Layer::value_type;
  using D = typename Layer::device_type;
  nn::Initializer init(Philox(4));
  nn::share_templates<Accumulate<T>, D>(weights_of(layer), {.templates = 4, .inputs = inputs}, init);
  release(layer, {.members = 3, .late = Group::templates, .sigma = 0.3, .random = Philox(3)});
  const auto flat = nn::flatten(layer);
  copy(to_device<D>(random_tensor<Accumulate<T>>(flat->value.late.shape(), 8)), flat->value.late);
  const auto x = to_device<D>(host);
  const UnchangedWeights<Accumulate<T>, D> unchanged(flat->value.base, flat->value.late);
  std::vector<double> result;
  const auto add = [&](const auto& tensor) {
    for (const double value : values_of(to_host(tensor))) result.push_back(value);
  };
  for (const MemberRange range : member_chunks(3, 2)) {
    Tape tape({.members = range});
    const auto y = layer.forward(tape.input(x.rows(range.first, range.count)));
    add(y.value());
    backward_of_sum(tape, relu(y));
  }
  add(flat->gradient.base);
  add(flat->gradient.late);
  return result;
}

/// The layers that have dense weights.
template <class T, class D>
std::vector<double> convolution() {
  nn::Initializer init(Philox(2));
  return computed(
      nn::Conv2d<T, D>({.in_channels = 8, .out_channels = 8, .padding = 1}, init),
      [](auto& layer) { return std::vector{&layer.weight}; }, 4, random_tensor<T>({3, 2, 6, 6, 8}, 5));
}
template <class T, class D>
std::vector<double> linear_layer() {
  nn::Initializer init(Philox(2));
  return computed(
      nn::Linear<T, D>({.in_features = 16, .out_features = 8}, init),
      [](auto& layer) { return std::vector{&layer.weight}; }, 8, random_tensor<T>({3, 4, 16}, 5));
}
template <class T, class D>
std::vector<double> recurrent() {
  nn::Initializer init(Philox(2));
  return computed(
      nn::Lstm<T, D>({.in_features = 8, .hidden_features = 8}, init),
      [](auto& layer) {
        return std::vector{&layer.layers[0].ih.weight, &layer.layers[0].hh.weight};
      },
      8, random_tensor<T>({3, 5, 2, 8}, 5));
}
template <class T, class D>
std::vector<double> table() {
  nn::Initializer init(Philox(2));
  return computed(
      nn::Embedding<T, D>({.vocabulary = 7, .features = 16}, init),
      [](auto& layer) { return std::vector{&layer.weight}; }, 8, random_indices({3, 5, 4}, 7));
}

}  // namespace

TEST_CASE("weights made of templates, and what goes back to these, are the CPU's", "[gpu]") {
  struct Case {
    std::int64_t coefficient_rows, template_rows, parts;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{3, 1, 1}, Case{3, 1, 2}, Case{1, 3, 2}, Case{3, 3, 2}}) {
    CAPTURE(c.coefficient_rows, c.template_rows, c.parts);
    const auto coefficients = random_tensor<float>({c.coefficient_rows, c.parts, 6}, 1),
               templates = random_tensor<float>({c.template_rows, 6, 5, 3, 3, 8}, 2);
    const Shape weight{5, 3, 3, 8 * c.parts};
    const Rows<Cpu> cpu(coefficients, templates, weight);
    const Rows<Cuda> gpu(coefficients, templates, weight);
    CHECK(distance(gpu.weight, cpu.weight) <= 12 * epsilon<float>());  // six products below 1
    CHECK(distance(gpu.dtemplates, cpu.dtemplates) <= 24 * epsilon<float>());
    CHECK(distance(gpu.dcoefficients, cpu.dcoefficients) <= 2000 * epsilon<float>());  // sums of up to 1080 products
  }
}

TEMPLATE_TEST_CASE("layers made of templates compute on the GPU as on the CPU", "[gpu]", float, bfloat16) {
  // Sums of some hundred products near 1, in the layer's type once or twice: activations, and weights before products.
  const double tolerance = std::is_same_v<TestType, float> ? 2e-5 : 0.06;
  CHECK(relative_difference(convolution<TestType, Cuda>(), convolution<TestType, Cpu>()) <= tolerance);
  CHECK(relative_difference(linear_layer<TestType, Cuda>(), linear_layer<TestType, Cpu>()) <= tolerance);
  CHECK(relative_difference(recurrent<TestType, Cuda>(), recurrent<TestType, Cpu>()) <= tolerance);
  CHECK(relative_difference(table<TestType, Cuda>(), table<TestType, Cpu>()) <= tolerance);
}
