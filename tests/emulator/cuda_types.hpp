// CUDA's built-in types and variables, under CUDA's names.
#pragma once

struct uint2 {
  unsigned x, y;
};
struct uint3 {
  unsigned x, y, z;
};
struct uint4 {
  unsigned x, y, z, w;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;

  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Those of the thread that is running.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
