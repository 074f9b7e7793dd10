// A network and a data set so small that a test trains them many times.
#pragma once

#include <lpw/autograd/pooling.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/linear.hpp>

namespace lpw::test {

/// The smallest network with shared weights, batch norm and a head.
template <class D>
struct Toy {
  using value_type = float;
  using device_type = D;
  explicit Toy(Philox random = Philox(1)) : Toy(nn::Initializer(random)) {}
  [[nodiscard]] Variable<float, D> forward(const Variable<float, D>& x) {
    return head.forward(hidden.forward(global_average_pool(bn.forward(x))));
  }
  template <class F>
  void visit(F&& f) {
    f("bn", bn), f("hidden", hidden), f("head", head);
  }
  nn::BatchNorm<float, D> bn;
  nn::Linear<float, D> hidden, head;

 private:
  explicit Toy(nn::Initializer init) : bn(3, {.relu = true}), hidden({3, 8}, init), head({8, 4, true, true}, init) {}
};

inline data::ImageSet images(std::int64_t count) {
  data::ImageSet set{.count = count, .height = 4, .width = 4, .channels = 3, .classes = 4, .pixels = {}, .labels = {}};
  const Philox random(5);
  for (std::int64_t i = 0; i < count * set.image_size(); ++i)
    set.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  for (std::int64_t i = 0; i < count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % 4));
  return set;
}

inline const data::Dataset& dataset() {
  static const data::Dataset set{"toy", images(60), images(20), {{0.5f, 0.5f, 0.5f}, {0.3f, 0.3f, 0.3f}}, {}};
  return set;
}

}  // namespace lpw::test
