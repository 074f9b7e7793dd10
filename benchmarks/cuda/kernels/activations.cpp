// The kernels that go once over activations: element-wise ones, those with per-channel factors or biases, pooling.
#include "kernels.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Gradient, lpw::Shape, lpw::Tensor;

/// Tensors [10, 128, n, C] of so many bytes, and a factor [10, C].
template <class T>
struct RowsSetting {
  static constexpr std::int64_t channels = 160;
  Tensor<T, Cuda> x, dy;
  Gradient<T, Cuda> y;
  Gradient<float, Cuda> factor;

  explicit RowsSetting(std::int64_t bytes)
      : x(random_tensor<T, Cuda>(
            {10, 128, bytes / (10 * 128 * channels * static_cast<std::int64_t>(sizeof(T))), channels})),
        dy(random_tensor<T, Cuda>(x.shape(), 2)),
        y{random_tensor<T, Cuda>(x.shape(), 1)},
        factor{random_tensor<float, Cuda>({10, channels})} {}
};

/// Registers work(setting), which makes so many passes over x or the like of it.
template <class T>
void add_pass(const std::string& kernel, const std::string& type, std::int64_t passes,
              const std::function<void(RowsSetting<T>&)>& work) {
  for (const std::int64_t bytes : {256 * megabyte, 4 * megabyte})
    add_kernel(lpw::to_text(kernel, '/', type, '/', bytes / megabyte, "MB"), [=](benchmark::State& state) {
      RowsSetting<T> s(bytes);
      beside_copy(state, passes * bytes_of(s.x), [&] { work(s); });
    });
}

template <class T>
void add_elementwise(const std::string& type) {
  using Setting = RowsSetting<T>;
  add_pass<T>("add", type, 3, [](Setting& s) { lpw::add_in_place(s.y.tensor, s.x); });
  add_pass<T>("relu_forward", type, 2, [](Setting& s) { benchmark::DoNotOptimize(lpw::relu_forward(s.x)); });
  add_pass<T>("relu_backward", type, 3, [](Setting& s) { lpw::relu_backward(s.x, s.dy, s.y); });
  add_pass<T>("affine_forward", type, 2, [](Setting& s) {
    benchmark::DoNotOptimize(
        lpw::materialize(lpw::Activation<T, Cuda>{s.x, s.factor.tensor, s.factor.tensor, s.factor.tensor, true}));
  });
  add_pass<T>("dropout", type, 2,
              [](Setting& s) { lpw::apply_dropout(s.x, {.random = lpw::Philox(1), .rate = 0.3}, s.y); });
  add_pass<T>("add_channels", type, 2,
              [](Setting& s) { benchmark::DoNotOptimize(lpw::add_channels_forward(s.x, s.factor.tensor)); });
  add_pass<T>("scale_channels", type, 2,
              [](Setting& s) { benchmark::DoNotOptimize(lpw::scale_channels_forward(s.x, s.factor.tensor)); });
  add_pass<T>("scale_channels_backward_factor", type, 2,
              [](Setting& s) { lpw::scale_channels_backward_factor(s.x, s.y.tensor, s.factor); });
  add_pass<T>("linear_backward_bias", type, 1, [](Setting& s) { lpw::linear_backward_bias(s.x, s.factor); });
}

template <class T>
void measure_max_pool(benchmark::State& state, const Shape& shape, bool backward) {
  Gradient<T, Cuda> x{random_tensor<T, Cuda>(shape)};
  const lpw::PoolOptions options{.kernel_size = 2};
  const auto pooled = lpw::max_pool2d_forward(x.tensor, options);
  beside_copy(state, bytes_of(x.tensor) + bytes_of(pooled.y) + bytes_of(pooled.winner), [&] {
    if (backward) return lpw::max_pool2d_backward(pooled.winner, pooled.y, options, x);
    benchmark::DoNotOptimize(lpw::max_pool2d_forward(x.tensor, options));
  });
}

template <class T>
void measure_average_pool(benchmark::State& state, const Shape& shape, bool backward) {
  Gradient<T, Cuda> x{random_tensor<T, Cuda>(shape)};
  const auto pooled = lpw::global_average_pool_forward(x.tensor);
  beside_copy(state, bytes_of(x.tensor) + bytes_of(pooled), [&] {
    if (backward) return lpw::global_average_pool_backward(pooled, x);
    benchmark::DoNotOptimize(lpw::global_average_pool_forward(x.tensor));
  });
}

template <class T>
void add_pooling(const std::string& type, std::int64_t side, std::int64_t channels) {
  const Shape shape{10, 128, side, side, channels};
  for (const bool backward : {false, true}) {
    const std::string name = lpw::to_text(backward ? "_backward/" : "_forward/", type, '/', image_name(side, channels));
    add_kernel("max_pool2d" + name, [=](benchmark::State& state) { measure_max_pool<T>(state, shape, backward); });
    add_kernel("global_average_pool" + name,
               [=](benchmark::State& state) { measure_average_pool<T>(state, shape, backward); });
  }
}

const bool added_activations = [] {
  for_each_type([]<class T>(T, const std::string& type) {
    add_elementwise<T>(type);
    add_pooling<T>(type, 8, 640);
  });
  return true;
}();

}  // namespace
