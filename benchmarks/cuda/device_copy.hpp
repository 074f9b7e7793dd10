// Copies on the GPU: what a kernel that moves as many bytes is measured against. A copy is made in two ways, of which
// the faster counts: inside a graph the driver's may go to a copy engine, which is slower than the multiprocessors.
#pragma once

#include "device_time.hpp"

namespace benchmarks {

struct CopyWords {
  const uint4* from;
  uint4* to;
  std::int64_t length;
};

static __global__ void __launch_bounds__(lpw::LaunchPlan::block) copy_words(const CopyWords p) {
  constexpr int in_flight = 4;
  const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < p.length; i += in_flight * threads) {
    uint4 words[in_flight] = {};
#pragma unroll
    for (int j = 0; j < in_flight; ++j)
      if (i + j * threads < p.length) words[j] = p.from[i + j * threads];
#pragma unroll
    for (int j = 0; j < in_flight; ++j)
      if (i + j * threads < p.length) p.to[i + j * threads] = words[j];
  }
}

class DeviceCopy {
 public:
  /// Rounded up to 32 bytes.
  explicit DeviceCopy(double bytes_read_and_written)
      : words_((static_cast<std::int64_t>(bytes_read_and_written) + 31) / 32),
        from_(random_tensor<float, lpw::Cuda>({words_ * 4})),
        to_(from_.shape()) {}

  [[nodiscard]] Work by_driver() {
    return [from = from_, to = to_]() mutable { copy(from, to); };
  }
  [[nodiscard]] Work by_kernel() {
    const CopyWords p{reinterpret_cast<const uint4*>(from_.data()), reinterpret_cast<uint4*>(to_.data()), words_};
    return [p, from = from_, to = to_] { lpw::cuda::launch(copy_words, lpw::cuda::element_plan(p.length / 4), p); };
  }

 private:
  std::int64_t words_;
  lpw::Tensor<float, lpw::Cuda> from_, to_;
};

}  // namespace benchmarks
