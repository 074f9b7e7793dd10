// Compiled, not run: device code may convert bfloat16 and draw random numbers.
#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/philox.hpp>

__global__ void draw(float* uniform, lpw::bfloat16* rounded, std::uint64_t seed) {
  const lpw::Philox random = lpw::Philox(seed).stream(lpw::Stream::dropout, 1);
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  uniform[i] = random.uniform(i) + static_cast<float>(random.below(i, 10u)) + lpw::Philox::to_uniform(random(i)[3]);
  rounded[i] = lpw::bfloat16(uniform[i]);
  uniform[i] -= rounded[i];
}
