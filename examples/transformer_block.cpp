// A transformer block made of operations, with rank-1 late-phase factors on all of its matrices: trained, released into
// K members that share the matrices, trained on, and folded into one plain block. Its task needs attention: to say of
// each letter of a text the how-manieth of its kind it is.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <utility>

#include <lpw/lpw.hpp>

namespace {

using lpw::Variable;
constexpr std::int64_t letters = 6, length = 12, classes = 4;  // T, and the last class for the 4th and later
constexpr std::int64_t features = 32, heads = 4, per_head = features / heads;  // F

/// Embeddings of letters and of places, attention, two layers with GELU between them, and the head; a layer norm before
/// each of the three.
template <class T, class D>
struct Transformer {
  using value_type = T;
  using device_type = D;
  using Linear = lpw::nn::Linear<T, D>;
  using LayerNorm = lpw::nn::LayerNorm<T, D>;

  explicit Transformer(lpw::nn::Initializer init)
      : embedding({.vocabulary = letters, .features = features}, init),
        places(init.normal<lpw::Accumulate<T>, D>({1, length, features})),
        query_key_value({.in_features = features, .out_features = 3 * features}, init),
        attended({.in_features = features, .out_features = features}, init),
        widened({.in_features = features, .out_features = 4 * features}, init),
        narrowed({.in_features = 4 * features, .out_features = features}, init),
        head({.in_features = features, .out_features = classes, .head = true}, init) {}

  /// Queries, keys or values [K, B, T, F], with a matrix for each head: [K, B, heads, T, F / heads].
  Variable<T, D> of_heads(const Variable<T, D>& part) {
    return permute(reshape(part, {part.shape()[0], part.shape()[1], length, heads, per_head}), {0, 1, 3, 2, 4});
  }
  /// x [K, B T, F] -> the same: each letter reads those up to itself, of its own text.
  Variable<T, D> attention(const Variable<T, D>& x) {
    const std::int64_t k = x.shape()[0], b = x.shape()[1] / length;
    const auto all = reshape(query_key_value.forward(x), {k, b, length, 3 * features});
    const auto parts = split(all, {.axis = -1, .parts = 3});
    const auto query = of_heads(parts[0]), key = of_heads(parts[1]), value = of_heads(parts[2]);
    const auto scores = affine(matmul(query, key, {.transpose_b = true}), {.scale = std::pow(per_head, -0.5)});
    const auto weights = softmax(scores, {.causal = true});  // [K, B, heads, T, T]
    const auto read = permute(matmul(weights, value), {0, 1, 3, 2, 4});
    return attended.forward(reshape(read, {k, b * length, features}));
  }
  /// Letters [K, B, T] -> logits [K, B T, classes].
  Variable<T, D> forward(const Variable<std::int32_t, D>& text) {
    auto x = embedding.forward(text);
    x = reshape(add(x, places.on(x), {.over = {1}}), {text.shape()[0], text.shape()[1] * length, features});
    x = add(x, attention(before_attention.forward(x)));
    x = add(x, narrowed.forward(gelu(widened.forward(before_layers.forward(x)))));
    return head.forward(before_head.forward(x));
  }
  template <class F>
  void visit(F&& f) {
    f("embedding", embedding), f("places", places), f("query_key_value", query_key_value), f("attended", attended);
    f("widened", widened), f("narrowed", narrowed), f("head", head);
    f("before_attention", before_attention), f("before_layers", before_layers), f("before_head", before_head);
  }

  lpw::nn::Embedding<T, D> embedding;
  lpw::nn::Parameter<lpw::Accumulate<T>, D> places;
  Linear query_key_value, attended, widened, narrowed, head;
  LayerNorm before_attention{features}, before_layers{features}, before_head{features};
};

using Network = Transformer<float, lpw::Cpu>;
using Integers = lpw::Tensor<std::int32_t, lpw::Cpu>;

/// Texts of random letters, others for each member and iteration, and what is to be said of each letter.
std::pair<Integers, Integers> texts(std::int64_t members, std::int64_t count, std::uint32_t iteration) {
  Integers text({members, count, length}), labels({members, count * length});
  const lpw::Philox random(7, lpw::Stream::order, iteration);
  for (std::int64_t row = 0; row < members * count; ++row) {
    std::array<std::int32_t, letters> seen{};
    for (std::int64_t i = row * length; i < (row + 1) * length; ++i) {
      text.data()[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(i), letters));
      labels.data()[i] = std::min<std::int32_t>(seen[lpw::to_size(text.data()[i])]++, classes - 1);
    }
  }
  return {text, labels};
}

/// How many letters of other texts are told right, by the mean of the members' softmax outputs.
double accuracy(Network& network) {
  const auto [text, labels] = texts(1, 200, 1'000'000);
  const std::int64_t members = lpw::nn::members(network);
  const lpw::Tape tape = lpw::Tape::evaluation();
  Integers shared(text.shape().with(0, members));
  for (std::int64_t k = 0; k < members; ++k) std::copy_n(text.data(), text.size(), shared.row(k));
  const auto predicted = mean(softmax(network.forward(tape.input(shared))), {.over = {0}});  // [1, B T, classes]
  return count_correct(predicted.value(), labels).data()[0] / static_cast<double>(labels.size());
}

}  // namespace

int main() try {
  Network network(lpw::nn::Initializer(lpw::Philox{1}));
  lpw::optim::Adam optimizer(network, {.learning_rate = 3e-3});
  constexpr std::uint32_t iterations = 400, release_at = 300;
  for (std::uint32_t i = 0; i < iterations; ++i) {
    if (i == release_at) {
      std::printf("before release: accuracy %.3f\n", accuracy(network));
      lpw::release(network, optimizer, {.members = 4, .late = lpw::Group::rank_one, .sigma = 0.05});
    }
    const auto [text, labels] = texts(lpw::nn::members(network), 16, i);
    lpw::Tape tape;
    const auto loss = lpw::cross_entropy(network.forward(tape.input(text)), labels);
    lpw::require_finite(loss);
    tape.backward(loss);
    optimizer.step(i < release_at ? 1 : 0.2);
    if (i % 100 == 99)
      std::printf("iteration %u: loss %.3f\n", i + 1, static_cast<double>(*lpw::mean_rows(loss.value()).data()));
  }

  std::printf("ensemble of the members: accuracy %.3f\n", accuracy(network));
  lpw::collapse(network);
  std::printf("collapsed: accuracy %.3f, %d member\n", accuracy(network), int(lpw::nn::members(network)));
} catch (const std::exception& error) {
  std::fprintf(stderr, "transformer_block: %s\n", error.what());
  return 1;
}
