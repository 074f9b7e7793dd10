// What the tests of release, collapse, prediction and optimizers share: small networks, random minibatches, and a
// network's state as plain vectors under its names.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/nn/embedding.hpp>
#include <lpw/optim/sgd.hpp>

#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

namespace lpw::test {

using lpw::Cpu;  // by name, for tests that take in this namespace and not the library's
using lpw::Group;
using lpw::Philox;
using lpw::Selectors;
using lpw::Shape;

/// Groups of late-phase weights, alone and together.
inline const std::vector<Group> every_choice = {Group::batch_norm | Group::head, Group::rank_one,
                                                Group::rank_one | Group::batch_norm, Group::head,
                                                Group::batch_norm | Group::head | Group::rank_one};

template <class T>
using Wrn = nn::WideResNet<T, Cpu>;

/// WRN-10-1 for 3 classes.
template <class T>
Wrn<T> wide_resnet(double dropout = 0) {
  return Wrn<T>({.depth = 10, .widen = 1, .classes = 3, .dropout = dropout}, Philox(5));
}

/// The same made of templates: the hypernetwork.
template <class T>
Wrn<T> hyper_resnet(double dropout = 0) {
  return Wrn<T>({.depth = 10, .widen = 1, .classes = 3, .dropout = dropout, .templates = true}, Philox(5));
}

/// Every kind of layer that can be late-phase: a strided convolution, batch norm over images and over features, a
/// hidden layer with bias and, if asked for, a head.
template <class T>
struct SmallNet {
  using value_type = T;
  using device_type = Cpu;

  explicit SmallNet(bool with_head = true, nn::Initializer init = nn::Initializer(Philox(7)))
      : conv({.in_channels = 3, .out_channels = 5, .stride = 2, .padding = 1}, init),
        bn1(5, {.relu = true}),
        hidden({.in_features = 5, .out_features = 6}, init),
        bn2(6, {.epsilon = 1e-3, .momentum = 0.3}),
        last({.in_features = 6, .out_features = 3, .head = with_head}, init) {}

  Variable<T, Cpu> forward(const Variable<T, Cpu>& x) {
    const auto features = global_average_pool(bn1.forward(conv.forward(x)));
    return last.forward(bn2.forward(relu(hidden.forward(features))));
  }

  template <class F>
  void visit(F&& f) {
    f("conv", conv);
    f("bn1", bn1);
    f("hidden", hidden);
    f("bn2", bn2);
    f("last", last);
  }

  nn::Conv2d<T, Cpu> conv;
  nn::BatchNorm<T, Cpu> bn1;
  nn::Linear<T, Cpu> hidden;
  nn::BatchNorm<T, Cpu> bn2;
  nn::Linear<T, Cpu> last;
};

/// Two linear layers that share a weight, and a bias where they have one.
struct TiedLayers {
  using value_type = double;
  using device_type = Cpu;

  explicit TiedLayers(const nn::LinearShape& shape) : first(shape, init), second(first) {}
  Variable<double, Cpu> forward(const Variable<double, Cpu>& x) { return second.forward(first.forward(x)); }
  template <class F>
  void visit(F&& f) {
    f("first", first);
    f("second", second);
  }

  nn::Initializer init{Philox(2)};
  nn::Linear<double, Cpu> first, second;
};

/// A network of one's own over symbols, which are here images in levels of grey: an embedding, a hidden layer, and a
/// last one.
template <class T>
struct SymbolNet {
  using value_type = T;
  using device_type = Cpu;
  static constexpr std::int64_t symbols = 7;

  explicit SymbolNet(bool factors, nn::Initializer init = nn::Initializer(Philox(9)))
      : embedding({.vocabulary = symbols, .features = 6, .factors = factors}, init),
        hidden({.in_features = 6, .out_features = 5}, init),
        last({.in_features = 5, .out_features = 3, .head = true}, init) {}

  Variable<T, Cpu> forward(const Variable<T, Cpu>& x) {
    const auto features = global_average_pool(embedding.forward(levels(x)));
    return last.forward(relu(hidden.forward(features)));
  }

  /// Images [K, B, H, W, C] as symbols [K, B, H, W] by their first channel.
  static Variable<std::int32_t, Cpu> levels(const Variable<T, Cpu>& x) {
    const auto images = x.value();
    const std::int64_t channels = images.shape()[-1];
    Tensor<std::int32_t, Cpu> result(images.shape().slice(0, 4));
    for (std::int64_t i = 0; i < result.size(); ++i)
      result.data()[i] = std::clamp(int(std::floor(2 * double(images.data()[i * channels]))) + 3, 0, int(symbols) - 1);
    return Variable<std::int32_t, Cpu>({result}, x.recording(), -1);
  }

  template <class F>
  void visit(F&& f) {
    f("embedding", embedding);
    f("hidden", hidden);
    f("last", last);
  }

  nn::Embedding<T, Cpu> embedding;
  nn::Linear<T, Cpu> hidden, last;
};

/// How one layer was given another's weight: the dense weight was copied, or only the parameter that it is.
enum class Tie { dense_weight, parameter };

/// Symbols, which are here images in levels of grey, looked up in a table and read out by a decoder that has the table
/// for its weight.
struct TiedTable {
  using value_type = double;
  using device_type = Cpu;
  using Levels = SymbolNet<double>;

  explicit TiedTable(Tie tie, bool factors, nn::Initializer init = nn::Initializer(Philox(9)))
      : table({.vocabulary = Levels::symbols, .features = 6, .factors = factors}, init),
        hidden({.in_features = 6, .out_features = 6}, init),
        decoder({.in_features = 6, .out_features = Levels::symbols}, init) {
    if (tie == Tie::dense_weight) {
      decoder.weight = table.weight;
    } else {
      static_cast<nn::Parameter<double, Cpu>&>(decoder.weight) = table.weight;
    }
  }

  Variable<double, Cpu> forward(const Variable<double, Cpu>& x) {
    return decoder.forward(relu(hidden.forward(global_average_pool(table.forward(Levels::levels(x))))));
  }
  template <class F>
  void visit(F&& f) {
    f("table", table);
    f("hidden", hidden);
    f("decoder", decoder);
  }

  nn::Embedding<double, Cpu> table;
  nn::Linear<double, Cpu> hidden, decoder;
};

/// Minibatches of 8x8 images and labels below 3 for some members, drawn anew for every `draw`.
template <class T>
struct Minibatches {
  Tensor<T, Cpu> images;
  Tensor<std::int32_t, Cpu> labels;

  Minibatches(std::int64_t members, std::int64_t batch, std::uint32_t draw)
      : images(normal_tensor<T>({members, batch, 8, 8, 3}, Philox(11, Stream::test, draw))),
        labels(random_indices({members, batch}, 3, Philox(11, Stream::test, draw), 1ull << 40)) {}

  /// The minibatches of the members in a range.
  Tensor<T, Cpu> images_of(MemberRange range) const { return images.rows(range.first, range.count); }
  Tensor<std::int32_t, Cpu> labels_of(MemberRange range) const { return labels.rows(range.first, range.count); }
};

/// Adds the gradient of the members' losses on their minibatches, `chunk` members at a time (0: all), and returns the
/// losses.
template <class M, class T>
std::vector<T> accumulate_gradient(M& network, const Minibatches<T>& batches, std::int64_t chunk = 0,
                                   Philox random = Philox(0)) {
  std::vector<T> losses;
  for (const auto range : member_chunks(batches.images.dim(0), chunk)) {
    Tape tape({.members = range, .random = random});
    const auto loss = cross_entropy(network.forward(tape.input(batches.images_of(range))), batches.labels_of(range));
    const auto value = loss.value();
    losses.insert(losses.end(), value.data(), value.data() + value.size());
    tape.backward(loss);
  }
  return losses;
}

/// Trains for some iterations on minibatches of the network's members; `draw` numbers the first.
template <class M, class Optimizer>
void train(M& network, Optimizer& optimizer, int iterations, std::uint32_t draw = 0, std::int64_t chunk = 0) {
  for (int i = 0; i < iterations; ++i) {
    const auto step = draw + static_cast<std::uint32_t>(i);
    (void)accumulate_gradient(network, Minibatches<typename M::value_type>(nn::members(network), 4, step), chunk,
                              Philox(3, Stream::dropout, step));
    optimizer.step();
  }
}

/// All rows of a parameter or buffer.
template <class W>
struct Rows {
  Shape shape;
  std::vector<W> values;

  std::vector<W> row(std::int64_t k) const {
    const auto size = static_cast<std::ptrdiff_t>(shape.size_from(1));
    return {values.begin() + k * size, values.begin() + (k + 1) * size};
  }
  bool operator==(const Rows& other) const {
    return shape == other.shape &&
           (values.empty() || std::memcmp(values.data(), other.values.data(), values.size() * sizeof(W)) == 0);
  }
};

template <class W>
Rows<W> rows_of(const Tensor<W, Cpu>& tensor) {
  const auto whole = clone(tensor);
  return {whole.shape(), std::vector<W>(whole.data(), whole.data() + whole.size())};
}

/// A network's parameters and buffers; equal states are equal bit for bit.
template <class M>
std::map<std::string, Rows<nn::WeightOf<M>>> state_of(M& network) {
  std::map<std::string, Rows<nn::WeightOf<M>>> state;
  const auto add = [&](const std::string& name, auto& member) { state.emplace(name, rows_of(member.value())); };
  nn::for_each_parameter(network, add);
  nn::for_each_buffer(network, add);
  return state;
}

/// Logits of one member (or of a plain network) in evaluation.
template <class M, class X>
Rows<typename M::value_type> logits_of(M& network, const Tensor<X, Cpu>& images, std::int64_t member = 0) {
  return rows_of(network.forward(Tape::evaluation({member, 1}).input(images)).value());
}

/// Gives every parameter and buffer row of a network other values: normal ones, variances in [0.5, 1.5).
template <class M>
void randomize(M& network, std::uint64_t seed) {
  std::uint32_t index = 0;
  const auto fill_rows = [&](auto& tensor, auto&& value) {
    const Philox random(seed, Stream::test, index++);
    const std::int64_t size = tensor.shape().size_from(1);
    for (std::int64_t k = 0; k < tensor.dim(0); ++k)
      for (std::int64_t i = 0; i < size; ++i)
        tensor.row(k)[i] = static_cast<nn::WeightOf<M>>(value(random, static_cast<std::uint64_t>(k * size + i)));
  };
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) {
    fill_rows(parameter.value(), [](const Philox& random, std::uint64_t i) { return random.normal(i); });
  });
  nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    const bool variance = name.ends_with("running_var");
    fill_rows(buffer.value(), [variance](const Philox& random, std::uint64_t i) {
      return variance ? 0.5 + random.uniform(i) : random.normal(i);
    });
  });
}

}  // namespace lpw::test
