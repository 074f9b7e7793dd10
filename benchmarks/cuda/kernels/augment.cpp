#include <lpw/cuda/augment.hpp>

#include "kernels.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Tensor;

constexpr std::int64_t stored = 50'000, side = 32, channels = 3;

/// CIFAR's training images on the GPU, and a minibatch of them.
template <class T>
struct MinibatchSetting {
  Tensor<float, Cuda> images = random_tensor<float, Cuda>({stored, side* side* channels / 4});  // four bytes each
  Tensor<std::int32_t, Cuda> labels = random_labels<Cuda>({stored}, 10), out_labels;
  Tensor<std::int64_t, Cuda> index;
  Tensor<T, Cuda> table = random_tensor<T, Cuda>({channels, 256}), out;

  explicit MinibatchSetting(std::int64_t samples)
      : out_labels({samples}), index(shuffled(samples)), out({samples, side * side * channels}) {}

  [[nodiscard]] lpw::kernels::Augment<T> parameters() {
    return {.images = reinterpret_cast<const std::uint8_t*>(images.data()),
            .labels = labels.data(),
            .index = index.data(),
            .table = table.data(),
            .out = out.data(),
            .out_labels = out_labels.data(),
            .samples = index.size(),
            .height = side,
            .width = side,
            .channels = channels,
            .pad_crop = 4,
            .flip = true,
            .cutout = 0,
            .random = lpw::Philox(1)};
  }

 private:
  static Tensor<std::int64_t, Cuda> shuffled(std::int64_t samples) {
    Tensor<std::int64_t, lpw::Cpu> index({samples});
    for (std::int64_t i = 0; i < samples; ++i) index.data()[i] = i * 7919 % stored;
    return lpw::to_device<Cuda>(index);
  }
};

template <class T>
void add_augment(const std::string& type, std::int64_t samples) {
  add_kernel(lpw::to_text("augment/", type, '/', samples, "x32x32x3"), [=](benchmark::State& state) {
    MinibatchSetting<T> s(samples);
    const auto p = s.parameters();
    beside_copy(state, s.out.size() + bytes_of(s.out), [&] { lpw::cuda::augment(p, lpw::cuda::stream()); });
  });
}

const bool added_augment = [] {
  for_each_type([]<class T>(T, const std::string& type) { add_augment<T>(type, 10 * 128); });
  return true;
}();

}  // namespace
