// Every kernel of lpw on the GPU beside a copy on the GPU of as many bytes as the kernel must move: each input read once, each output
// written once (the table of passes in docs/kernels.md). `of_reference` is the share of the copy's rate that the kernel reaches.
#include <lpw/kernels/optimizer.cuh>

#include "main.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Gradient, lpw::Shape, lpw::Tensor, lpw::bfloat16;

constexpr std::int64_t iterations = 30, megabyte = 1 << 20;

template <class Work>
void beside_copy(benchmark::State& state, std::int64_t bytes, Work&& work) {
  const DeviceTimer timer;
  DeviceCopy copy(static_cast<double>(bytes));
  run_beside(state, timer, {.bytes = static_cast<double>(bytes)}, work, copy);
}

template <class T>
[[nodiscard]] std::int64_t bytes_of(const Tensor<T, Cuda>& tensor) {
  return tensor.size() * static_cast<std::int64_t>(sizeof(T));
}

/// x [K, B, H, W, C] with what batch norm takes and gives beside it.
template <class T>
struct BatchNormSetting {
  Tensor<T, Cuda> x, residual;
  Tensor<float, Cuda> gamma, beta;
  lpw::RunningStatistics<float, Cuda> running;
  Gradient<float, Cuda> dgamma, dbeta;

  BatchNormSetting(const Shape& shape, bool with_residual)
      : x(random_tensor<T, Cuda>(shape)),
        residual(with_residual ? random_tensor<T, Cuda>(shape, 1) : Tensor<T, Cuda>()),
        gamma(lpw::full<float, Cuda>({shape[0], shape[-1]}, 1.f)),
        beta(random_tensor<float, Cuda>({shape[0], shape[-1]})),
        running{lpw::clone(beta), lpw::clone(gamma)},
        dgamma{lpw::clone(gamma)},
        dbeta{lpw::clone(beta)} {}
  [[nodiscard]] auto forward() { return lpw::batch_norm_forward(x, residual, gamma, beta, running, {.relu = true}); }
};

template <class T>
void add_batch_norm(const std::string& type, const Shape& shape, bool residual) {
  const std::string name = lpw::concat(residual ? "_add_relu/" : "_relu/", type, "/K", shape[0], '/', image_name(shape[2], shape[4]));
  add_benchmark("batch_norm_forward" + name, iterations, [=](benchmark::State& state) {
    BatchNormSetting<T> s(shape, residual);
    beside_copy(state, (residual ? 3 : 2) * bytes_of(s.x), [&] { benchmark::DoNotOptimize(s.forward()); });
  });
  add_benchmark("batch_norm_backward" + name, iterations, [=](benchmark::State& state) {
    BatchNormSetting<T> s(shape, residual);
    const auto saved = s.forward().saved;
    const auto dy = random_tensor<T, Cuda>(shape, 2);
    Gradient<T, Cuda> dx{lpw::clone(dy)}, dresidual{residual ? lpw::clone(dy) : Tensor<T, Cuda>()};
    beside_copy(state, (residual ? 5 : 3) * bytes_of(s.x),
                [&] { lpw::batch_norm_backward(saved, dy, &s.dgamma, &s.dbeta, &dx, residual ? &dresidual : nullptr); });
  });
}

/// The kernels that go once over tensors [10, 128, n, C] of `bytes`.
template <class T>
void add_elementwise(const std::string& type, std::int64_t bytes) {
  constexpr std::int64_t channels = 160;
  const Shape shape{10, 128, bytes / (10 * 128 * channels * static_cast<std::int64_t>(sizeof(T))), channels};
  const auto add = [&](const char* kernel, std::int64_t passes, auto work) {
    add_benchmark(lpw::concat(kernel, '/', type, '/', bytes / megabyte, "MB"), iterations, [=](benchmark::State& state) {
      const auto x = random_tensor<T, Cuda>(shape);
      Gradient<T, Cuda> y{random_tensor<T, Cuda>(shape, 1)};
      Gradient<float, Cuda> factor{random_tensor<float, Cuda>({10, channels})};
      beside_copy(state, passes * bytes_of(x), [&] { work(x, y, factor); });
    });
  };
  add("add_in_place", 3, [](const auto& x, auto& y, auto&) { lpw::add_in_place(y.tensor, x); });
  add("relu_forward", 2, [](const auto& x, auto&, auto&) { benchmark::DoNotOptimize(lpw::relu_forward(x)); });
  add("relu_backward", 3, [](const auto& x, auto& y, auto&) { lpw::relu_backward(x, x, y); });
  add("scale_channels_forward", 2,
      [](const auto& x, auto&, auto& factor) { benchmark::DoNotOptimize(lpw::scale_channels_forward(x, factor.tensor)); });
  add("scale_channels_backward_factor", 2,
      [](const auto& x, auto& y, auto& factor) { lpw::scale_channels_backward_factor(x, y.tensor, factor); });
  add("add_channels_forward", 2,
      [](const auto& x, auto&, auto& factor) { benchmark::DoNotOptimize(lpw::add_channels_forward(x, factor.tensor)); });
  add("apply_dropout", 2, [](const auto& x, auto& y, auto&) { lpw::apply_dropout(x, {.random = lpw::Philox(1), .rate = 0.3}, y); });
}

template <class T>
void add_pooling(const std::string& type, std::int64_t side, std::int64_t channels) {
  const Shape shape{10, 128, side, side, channels};
  const std::string name = lpw::concat('/', type, '/', image_name(side, channels));
  add_benchmark("global_average_pool_forward" + name, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T, Cuda>(shape);
    beside_copy(state, bytes_of(x), [&] { benchmark::DoNotOptimize(lpw::global_average_pool_forward(x)); });
  });
  add_benchmark("global_average_pool_backward" + name, iterations, [=](benchmark::State& state) {
    const auto dy = random_tensor<T, Cuda>({10, 128, channels});
    Gradient<T, Cuda> dx{random_tensor<T, Cuda>(shape)};
    beside_copy(state, bytes_of(dx.tensor), [&] { lpw::global_average_pool_backward(dy, dx); });
  });
  add_benchmark("max_pool2d_forward" + name, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T, Cuda>(shape);
    const auto windows = bytes_of(x) / static_cast<std::int64_t>(sizeof(T)) / 4;
    beside_copy(state, bytes_of(x) + windows * static_cast<std::int64_t>(sizeof(T) + 4),
                [&] { benchmark::DoNotOptimize(lpw::max_pool2d_forward(x, {.kernel_size = 2})); });
  });
}

/// Logits are read and their probabilities written; backward reads these and writes the gradient.
template <class T>
void add_cross_entropy(const std::string& type, std::int64_t rows, std::int64_t classes) {
  const std::string name = lpw::concat('/', type, '/', rows, 'x', classes);
  add_benchmark("cross_entropy_forward" + name, iterations, [=](benchmark::State& state) {
    const auto logits = random_tensor<T, Cuda>({10, rows, classes});
    const auto labels = random_labels<Cuda>({10, rows}, classes);
    beside_copy(state, bytes_of(logits) + 4 * logits.size(),
                [&] { benchmark::DoNotOptimize(lpw::cross_entropy_forward(logits, labels, 0.1)); });
  });
  add_benchmark("cross_entropy_backward" + name, iterations, [=](benchmark::State& state) {
    const auto labels = random_labels<Cuda>({10, rows}, classes);
    const auto probabilities = random_tensor<float, Cuda>({10, rows, classes});
    const auto dloss = lpw::full<float, Cuda>({10}, 1.f);
    Gradient<T, Cuda> dlogits{random_tensor<T, Cuda>(probabilities.shape())};
    beside_copy(state, bytes_of(probabilities) + bytes_of(dlogits.tensor),
                [&] { lpw::cross_entropy_backward(probabilities, labels, 0.1, dloss, dlogits); });
  });
}

/// Stores of as many base weights, and a hundredth as many late-phase weights in 10 rows.
void add_weights(std::int64_t weights) {
  const std::int64_t late = weights / 100;
  const auto add = [&](const char* kernel, std::int64_t passes, auto make_work) {
    add_benchmark(lpw::concat(kernel, '/', weights), iterations, [=](benchmark::State& state) {
      const auto store = [](std::int64_t size, std::uint32_t key) { return random_tensor<float, Cuda>({size}, key); };
      beside_copy(state, passes * 4 * (weights + 10 * late), make_work(store, weights, 10 * late));
    });
  };
  add("sgd_step", 6, [](auto store, std::int64_t base, std::int64_t all_late) {
    const lpw::SgdStep step{.learning_rate = 1e-4, .momentum = 0.9, .nesterov = true, .weight_decay = 5e-4};
    const lpw::SgdStore<float, Cuda> a{store(base, 0), store(base, 1), store(base, 2), step}, b{store(all_late, 3), store(all_late, 4), store(all_late, 5), step};
    return [=] { lpw::sgd_step(a, b); };
  });
  add("adam_step", 8, [](auto store, std::int64_t base, std::int64_t all_late) {
    const lpw::AdamStep step{.learning_rate = 1e-5};
    const auto squares = [](std::int64_t size) { return lpw::full<float, Cuda>({size}, 0.1f); };
    const lpw::AdamStore<float, Cuda> a{store(base, 0), store(base, 1), store(base, 2), squares(base), step},
        b{store(all_late, 3), store(all_late, 4), store(all_late, 5), squares(all_late), step};
    return [=] { lpw::adam_step(a, b); };
  });
  add("clip_factor", 1, [](auto store, std::int64_t base, std::int64_t all_late) {
    const lpw::ScaledGradient<float, Cuda> a{store(base, 0)}, b{store(all_late, 1)};
    return [=] { benchmark::DoNotOptimize(lpw::clip_factor(a, b, 1.0)); };
  });
  add("move_average", 3, [](auto store, std::int64_t base, std::int64_t all_late) {
    return [average = store(base + all_late, 0), value = store(base + all_late, 1)]() mutable { lpw::move_average(average, value, 0.1); };
  });
  add("mean_rows", 1, [](auto store, std::int64_t base, std::int64_t all_late) {
    const auto rows = store((base + all_late) / 10 * 10, 0).reshaped({10, (base + all_late) / 10});
    return [=] { benchmark::DoNotOptimize(lpw::mean_rows(rows)); };
  });
}

template <class T>
void add_typed(const std::string& type) {
  for (const std::int64_t members : {1, 10})
    for (const auto& [side, channels] : {std::pair{32, 16}, {32, 160}, {16, 320}, {8, 640}})
      for (const bool residual : {false, true}) add_batch_norm<T>(type, {members, 128, side, side, channels}, residual);
  for (const std::int64_t bytes : {1 * megabyte, 16 * megabyte, 256 * megabyte}) add_elementwise<T>(type, bytes);
  add_pooling<T>(type, 8, 640);
  add_cross_entropy<T>(type, 128, 100);
  add_cross_entropy<T>(type, 2000, 256);
}

}  // namespace

int main(int argc, char** argv) {
  return run_device_benchmarks(argc, argv, [] {
    add_typed<float>("fp32");
    add_typed<bfloat16>("bf16");
    add_weights(36'500'000);
  });
}
