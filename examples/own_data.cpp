// Data and a loss of one's own: regression on numbers in memory. Members read minibatches of their own, as the method
// asks: lpw::data::BatchLoader says whose each sample is, and has them made in the background; the loss is a mean of
// squares for each member.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <lpw/lpw.hpp>

namespace {

using lpw::Cpu, lpw::Tensor, lpw::Variable;

constexpr std::int64_t features = 2;
constexpr double noise = 0.1;  // standard deviation: no model can have a smaller error

/// y = sin(3 a) b + noise for a, b in [-1, 1): rows of features and their targets.
struct Table {
  std::vector<float> x, y;

  Table(std::int64_t count, std::uint64_t seed) {
    const lpw::Philox random(seed);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto draw = [&](int which) { return static_cast<std::uint64_t>(3 * i + which); };
      const double a = 2.0 * random.uniform(draw(0)) - 1, b = 2.0 * random.uniform(draw(1)) - 1;
      x.push_back(static_cast<float>(a)), x.push_back(static_cast<float>(b));
      y.push_back(static_cast<float>(std::sin(3 * a) * b + noise * random.normal(draw(2))));
    }
  }
  [[nodiscard]] std::int64_t count() const { return std::ssize(y); }
};

/// What a loader asks for: tensors of the samples `which`, [n, features] and [n, 1].
auto tensors_of(const Table& table, std::span<const std::int64_t> which) {
  const std::int64_t n = std::ssize(which);
  std::pair batch(Tensor<float, Cpu>({n, features}), Tensor<float, Cpu>({n, 1}));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t from = which[lpw::to_size(i)];
    std::copy_n(table.x.begin() + from * features, features, batch.first.row(i));
    batch.second.data()[i] = table.y[lpw::to_size(from)];
  }
  return batch;
}

/// Each member's mean of (prediction - target)^2 over its minibatch, [K], of predictions and targets [K, B, 1]. The
/// gradient that comes back has an entry for each member.
template <class T>
Variable<T, Cpu> squared_error(const Variable<T, Cpu>& prediction, const Tensor<T, Cpu>& target) {
  const Tensor<T, Cpu> value = prediction.value();
  const std::int64_t members = value.dim(0), batch = value.size() / members;
  lpw::require<lpw::ShapeError>(value.shape() == target.shape(), "squared_error: predictions ", value.shape(),
                                ", targets ", target.shape());
  auto loss = lpw::zeros<T, Cpu>({members});
  Tensor<T, Cpu> error(value.shape());
  for (std::int64_t i = 0; i < value.size(); ++i) {
    error.data()[i] = value.data()[i] - target.data()[i];
    loss.data()[i / batch] += error.data()[i] * error.data()[i] / static_cast<T>(batch);
  }
  return lpw::record(
      loss,
      [error, batch, dx = prediction.edge()](const Tensor<T, Cpu>& dloss) {
        Tensor<T, Cpu> gradient(error.shape());
        for (std::int64_t i = 0; i < error.size(); ++i)
          gradient.data()[i] = 2 * error.data()[i] / static_cast<T>(batch) * dloss.data()[i / batch];
        dx.add(gradient);
      },
      prediction);
}

struct Network {
  using value_type = float;
  using device_type = Cpu;
  using Linear = lpw::nn::Linear<float, Cpu>;

  explicit Network(lpw::nn::Initializer init)
      : first({.in_features = features, .out_features = 64}, init),
        second({.in_features = 64, .out_features = 64}, init),
        last({.in_features = 64, .out_features = 1, .head = true}, init) {}

  /// [K, B, features] -> [K, B, 1].
  Variable<float, Cpu> forward(const Variable<float, Cpu>& x) {
    return last.forward(lpw::relu(second.forward(lpw::relu(first.forward(x)))));
  }
  template <class F>
  void visit(F&& f) {
    f("first", first), f("second", second), f("last", last);
  }

  Linear first, second, last;
};

/// Root of the mean squared error of a plain network on a table.
double error_of(Network& network, const Table& table) {
  std::vector<std::int64_t> all(lpw::to_size(table.count()));
  std::iota(all.begin(), all.end(), 0);
  const auto [x, y] = tensors_of(table, all);
  const auto input = x.reshaped({1, table.count(), features}), target = y.reshaped({1, table.count(), 1});
  return std::sqrt(squared_error(network.forward(lpw::Tape::evaluation().input(input)), target).value().data()[0]);
}

}  // namespace

int main() try {
  const Table train(4000, 1), test(2000, 2);
  const lpw::data::BatchLoader loader(train.count(),
                                      [&](auto which, const lpw::Philox&) { return tensors_of(train, which); },
                                      {.batch = 50, .seed = 1});
  Network network{lpw::nn::Initializer(lpw::Philox{1})};
  lpw::optim::Adam optimizer(network, {.learning_rate = 0.003});

  constexpr std::int64_t epochs = 30, release_epoch = 20;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    if (epoch == release_epoch) {
      std::printf("before release: error %.4f\n", error_of(network, test));
      lpw::release(network, optimizer, {.members = 4, .late = lpw::Group::rank_one | lpw::Group::head});
    }
    for (auto& [x, y] : loader.epoch(epoch, lpw::nn::members(network))) {  // [K, B, features] and [K, B, 1]
      lpw::Tape tape;
      const auto loss = squared_error(network.forward(tape.input(x)), y);
      lpw::require_finite(loss);
      tape.backward(loss);
      optimizer.step(epoch < release_epoch ? 1 : 0.2);
    }
  }
  lpw::collapse(network);
  std::printf("collapsed: error %.4f, of which noise is %.4f\n", error_of(network, test), noise);
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_data: %s\n", error.what());
  return 1;
}
