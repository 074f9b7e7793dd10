// A layer of one's own, from the operation up: y = x where x > 0, and slope_c x elsewhere, a learned slope for each
// channel c. Its slopes are late-phase weights: after release each member has its own.
#include <cmath>
#include <cstdio>
#include <exception>
#include <numbers>

#include <lpw/lpw.hpp>

namespace {

using lpw::Cpu, lpw::Tensor, lpw::Variable;

/// min(x, 0), element by element, NaN as it is. The backward step captures what it needs and no more: x's value, and
/// where its gradient goes.
template <class T>
Variable<T, Cpu> negative_part(const Variable<T, Cpu>& x) {
  const Tensor<T, Cpu> value = x.value();
  Tensor<T, Cpu> result(value.shape());
  for (std::int64_t i = 0; i < value.size(); ++i) result.data()[i] = value.data()[i] > 0 ? T(0) : value.data()[i];
  return lpw::record(
      result,
      [value, dx = x.edge()](const Tensor<T, Cpu>& dy) {
        auto [target, accumulate] = dx.sink(value.shape());
        for (std::int64_t i = 0; i < value.size(); ++i)
          target.data()[i] = (accumulate ? target.data()[i] : T(0)) + (value.data()[i] > 0 ? T(0) : dy.data()[i]);
      },
      x);
}

/// The layer: a struct that says its types, computes, and names its parameters. Release, optimizers and files need no
/// more.
template <class T, class D>
struct LearnedSlope {
  using value_type = T;
  using device_type = D;
  using W = lpw::Accumulate<T>;  // of parameters: float for 16-bit types

  explicit LearnedSlope(std::int64_t channels)
      : slope(lpw::full<W, D>({1, channels}, W(0.25)), lpw::Group::batch_norm) {}

  /// x [K, ..., C]; slope [1 or K, C].
  Variable<T, D> forward(const Variable<T, D>& x) {
    return add(lpw::relu(x), lpw::scale_channels(negative_part(x), slope.on(x)));
  }
  template <class F>
  void visit(F&& f) {
    f("slope", slope);
  }

  lpw::nn::Parameter<W, D> slope;
};

/// Points of two spirals, of which the label says the one: for K members B points each, others in each iteration.
struct Points {
  Tensor<float, Cpu> places;         // [K, B, 2]
  Tensor<std::int32_t, Cpu> labels;  // [K, B]

  Points(std::int64_t members, std::int64_t batch, std::uint32_t iteration)
      : places({members, batch, 2}), labels({members, batch}) {
    const lpw::Philox random(7, lpw::Stream::order, iteration);
    for (std::int64_t i = 0; i < members * batch; ++i) {
      const auto draw = [&](int which) { return static_cast<std::uint64_t>(4 * i + which); };
      const double along = random.uniform(draw(0)), turn = 3 * std::numbers::pi * along;
      labels.data()[i] = random.below(draw(1), 2) == 1;
      const double angle = turn + std::numbers::pi * labels.data()[i], radius = 0.1 + along;
      places.data()[2 * i] = static_cast<float>(radius * std::cos(angle) + 0.03 * random.normal(draw(2)));
      places.data()[2 * i + 1] = static_cast<float>(radius * std::sin(angle) + 0.03 * random.normal(draw(3)));
    }
  }
};

template <class Network>
double accuracy(Network& network) {
  const Points test(1, 2000, 1'000'000);
  lpw::metrics::Evaluator evaluator;
  evaluator.add(lpw::predict_ensemble(network, test.places), test.labels.reshaped({2000}));
  return evaluator.result().accuracy;
}

}  // namespace

int main() try {
  using Linear = lpw::nn::Linear<float, Cpu>;
  using Slope = LearnedSlope<float, Cpu>;
  lpw::nn::Initializer init(lpw::Philox{1});
  lpw::nn::Sequential network{Linear({.in_features = 2, .out_features = 32}, init), Slope(32),
                              Linear({.in_features = 32, .out_features = 32}, init), Slope(32),
                              Linear({.in_features = 32, .out_features = 2, .head = true}, init)};
  lpw::optim::Adam optimizer(network, {.learning_rate = 0.01});
  constexpr std::uint32_t iterations = 1200, release_at = 800;
  for (std::uint32_t i = 0; i < iterations; ++i) {
    if (i == release_at) {
      std::printf("after %u iterations, before release: accuracy %.3f\n", i, accuracy(network));
      lpw::release(network, optimizer, {.members = 4, .late = lpw::Group::batch_norm});  // the slopes
    }
    const Points points(lpw::nn::members(network), 64, i);
    lpw::Tape tape;
    const auto loss = lpw::cross_entropy(network.forward(tape.input(points.places)), points.labels);
    lpw::require_finite(loss);
    tape.backward(loss);
    optimizer.step(i < release_at ? 1 : 0.2);
  }

  const auto& slope = std::get<1>(network.modules).slope;  // [K, C]
  std::printf("slopes of channel 0:");
  for (std::int64_t k = 0; k < slope.value().dim(0); ++k)
    std::printf(" %.4f", static_cast<double>(*slope.value().row(k)));
  std::printf("\nensemble of the members: accuracy %.3f\n", accuracy(network));
  lpw::collapse(network);
  std::printf("collapsed: accuracy %.3f, slope of channel 0: %.4f\n", accuracy(network),
              static_cast<double>(*slope.value().row(0)));
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_layer: %s\n", error.what());
  return 1;
}
