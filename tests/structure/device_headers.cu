// Compiled, not run: device code may convert bfloat16 and draw random numbers. And what kernels the tests have of their
// own, as tests/structure/kernels.cu has lpw's.
#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/philox.hpp>

#include "cuda/shared_sum.hpp"

template __global__ void lpw::test::shared_sum<0>(lpw::test::SharedSum);

__global__ void draw(float* uniform, lpw::bfloat16* rounded, std::uint64_t seed) {
  const lpw::Philox random = lpw::Philox(seed).stream(lpw::Stream::dropout, 1);
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  uniform[i] = random.uniform(i) + static_cast<float>(random.below(i, 10u)) + lpw::Philox::to_uniform(random(i)[3]);
  rounded[i] = lpw::bfloat16(uniform[i]);
  uniform[i] -= rounded[i];
}
