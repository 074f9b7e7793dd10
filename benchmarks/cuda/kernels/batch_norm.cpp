#include "kernels.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Gradient, lpw::Shape, lpw::Tensor;

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
void measure_forward(benchmark::State& state, const Shape& shape, bool residual) {
  BatchNormSetting<T> s(shape, residual);
  beside_copy(state, (residual ? 3 : 2) * bytes_of(s.x), [&] { benchmark::DoNotOptimize(s.forward()); });
}

template <class T>
void measure_backward(benchmark::State& state, const Shape& shape, bool residual) {
  BatchNormSetting<T> s(shape, residual);
  const auto saved = s.forward().saved;
  const auto dy = random_tensor<T, Cuda>(shape, 2);
  Gradient<T, Cuda> dx{lpw::clone(dy)}, dresidual{residual ? lpw::clone(dy) : Tensor<T, Cuda>()};
  beside_copy(state, (residual ? 5 : 3) * bytes_of(s.x),
              [&] { lpw::batch_norm_backward(saved, dy, &s.dgamma, &s.dbeta, &dx, residual ? &dresidual : nullptr); });
}

template <class T>
void add_batch_norm(const std::string& type, std::int64_t members) {
  for (const bool residual : {false, true})
    for (const auto& [side, channels] : {std::pair{32, 16}, {32, 160}, {16, 320}, {8, 640}}) {
      const Shape shape{members, 128, side, side, channels};
      const std::string name =
          lpw::to_text(residual ? "_add_relu/" : "_relu/", type, "/K", members, '/', image_name(side, channels));
      add_kernel("batch_norm_forward" + name,
                 [=](benchmark::State& state) { measure_forward<T>(state, shape, residual); });
      add_kernel("batch_norm_backward" + name,
                 [=](benchmark::State& state) { measure_backward<T>(state, shape, residual); });
    }
}

const bool added_batch_norm = [] {
  for (const std::int64_t members : {10, 1})
    for_each_type([&]<class T>(T, const std::string& type) { add_batch_norm<T>(type, members); });
  return true;
}();

}  // namespace
