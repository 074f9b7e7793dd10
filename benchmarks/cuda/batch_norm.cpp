// Batch norm + ReLU, forward and backward, for the layers of WRN-28-10: all K members in one launch each way beside
// cuDNN called for one member after another, both replayed from a graph. `of_reference` says how many times as fast as
// cuDNN lpw is, "GB/s" counts x read and y written, x and dy read and dx written. Where cuDNN has no fused ReLU for a
// type, it does without: the label says so.
#include "cudnn_batch_norm.hpp"
#include "main.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Gradient, lpw::Shape, lpw::Tensor;

constexpr std::int64_t batch = 128, iterations = 30;

/// x, dy and where results go, for all members, and what the two need of them.
template <class T>
struct Setting {
  Tensor<T, Cuda> x, y, dy;
  Gradient<T, Cuda> dx;
  Tensor<float, Cuda> gamma, beta;
  lpw::RunningStatistics<float, Cuda> running;
  Gradient<float, Cuda> dgamma, dbeta;

  explicit Setting(const Shape& shape)
      : x(random_tensor<T, Cuda>(shape)),
        y(shape),
        dy(random_tensor<T, Cuda>(shape, 1)),
        dx{Tensor<T, Cuda>(shape)},
        gamma(lpw::full<float, Cuda>({shape[0], shape[4]}, 1.f)),
        beta(lpw::zeros<float, Cuda>({shape[0], shape[4]})),
        running{lpw::clone(beta), lpw::clone(gamma)},
        dgamma{lpw::clone(beta)},
        dbeta{lpw::clone(beta)} {}

  void forward_backward() {
    const auto result = lpw::batch_norm_forward(x, {}, gamma, beta, running, {.relu = true});
    lpw::batch_norm_backward(result.saved, dy, &dgamma, &dbeta, &dx, static_cast<Gradient<T, Cuda>*>(nullptr));
  }

  /// Whether cuDNN did it for every member.
  [[nodiscard]] bool forward_backward(CudnnBatchNorm<T>& cudnn) {
    for (std::int64_t k = 0; k < x.dim(0); ++k)
      if (cudnn.forward(x.row(k), y.row(k)) != CUDNN_STATUS_SUCCESS ||
          cudnn.backward(x.row(k), y.row(k), dy.row(k), dx.tensor.row(k)) != CUDNN_STATUS_SUCCESS)
        return false;
    return true;
  }
};

template <class T>
void measure(benchmark::State& state, const Shape& shape) {
  Setting<T> s(shape);
  for (const CudnnForm& form : cudnn_forms) {
    CudnnBatchNorm<T> cudnn(shape.slice(1, 5), form);
    if (!cudnn.prepare() || !s.forward_backward(cudnn)) continue;
    state.SetLabel(form.name);
    return run_beside_on_device(
        state, {.bytes = 5.0 * static_cast<double>(bytes_of(s.x))}, [&] { s.forward_backward(); },
        [&] { lpw::require(s.forward_backward(cudnn), "cuDNN cannot be captured in a graph"); });
  }
  lpw::fail<lpw::Error>("cuDNN has no batch norm for this type");
}

template <class T>
void add(const std::string& type) {
  for (const std::int64_t members : {10, 1})
    for (const auto& [side, channels] : {std::pair{32, 160}, {16, 320}, {8, 640}, {32, 16}}) {
      const Shape shape{members, batch, side, side, channels};
      add_benchmark(lpw::to_text("bn/", type, "/K", members, '/', image_name(side, channels)), iterations,
                    [=](benchmark::State& state) { measure<T>(state, shape); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  add<lpw::bfloat16>("bf16");
  add<float>("fp32");
  add<lpw::half>("fp16");
  return run_device_benchmarks(argc, argv);
}
