// Kernels with and without the faults that kernel_resources.sh and machine_code.py look for. Compiled to machine code
// by planted_kernels.sh, never run.
#include <cstdint>

namespace lpw::planted {

inline constexpr int threads = 256;

/// What is right: vectors in and out, nothing else in the loop.
__global__ void __launch_bounds__(threads, 4) vectors(const uint4* x, uint4* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[i] = x[i];
}

__global__ void __launch_bounds__(threads, 4) narrow_load(const std::uint32_t* x, uint4* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[i] = uint4{x[5 * i], x[5 * i + 1], x[5 * i + 2], x[5 * i + 3]};
}

__global__ void __launch_bounds__(threads, 4) narrow_store(const uint4* x, std::uint32_t* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[5 * i] = x[i].x + x[i].y + x[i].z + x[i].w;
}

__global__ void __launch_bounds__(threads, 4) divides_integers(const uint4* x, uint4* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[i] = uint4{x[i].x / x[i].y, x[i].y, x[i].z, x[i].w};
}

__global__ void __launch_bounds__(threads, 4) divides_wide_integers(const uint4* x, uint4* y, int size, long long by) {
  for (int i = threadIdx.x; i < size; i += threads) {
    const auto quotient = static_cast<long long>(x[i].x) * x[i].y / (by + x[i].z);
    y[i] = uint4{static_cast<unsigned>(quotient), static_cast<unsigned>(quotient >> 32), x[i].z, x[i].w};
  }
}

__global__ void __launch_bounds__(threads, 4) divides_floats(const float4* x, float4* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[i] = float4{x[i].x / x[i].y, x[i].y, x[i].z, x[i].w};
}

/// A division for each of the rows, none for the vectors of a row.
__global__ void __launch_bounds__(threads, 4) divides_outside(const uint4* x, uint4* y, const int* rows, int count) {
  for (int row = 0; row < count; ++row) {
    const int size = rows[row] / rows[row + count];
    for (int i = threadIdx.x; i < size; i += threads) y[i] = x[i];
    x += size;
    y += size;
  }
}

/// Divides by what stays: once, before the loop.
__global__ void __launch_bounds__(threads, 4) divides_before(const uint4* x, uint4* y, int size, float by) {
  const float share = 1.f / by;
  for (int i = threadIdx.x; i < size; i += threads) {
    const uint4 in = x[i];
    y[i] = uint4{static_cast<unsigned>(static_cast<float>(in.x) * share), in.y, in.z, in.w};
  }
}

/// More numbers at a time than 32 registers hold.
__global__ void __launch_bounds__(threads, 8) spills(const uint4* x, uint4* y, int size) {
  uint4 held[16];
  for (int i = threadIdx.x; i < size; i += 16 * threads) {
    for (int j = 0; j < 16; ++j) held[j] = x[i + j * threads];
    __syncthreads();
    for (int j = 0; j < 16; ++j) y[i + j * threads] = held[15 - j];
  }
}

__global__ void unbounded(const uint4* x, uint4* y, int size) {
  for (int i = threadIdx.x; i < size; i += threads) y[i] = x[i];
}

}  // namespace lpw::planted
