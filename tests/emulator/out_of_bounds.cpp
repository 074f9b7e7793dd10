// A kernel that writes or reads one element past an array, which AddressSanitizer must stop: ctest runs this program
// and expects the report. The argument chooses the array: "global" or "shared".
#include "emulator/asan.hpp"
#include "emulator/emulator.hpp"

#include <lpw/kernels/device.cuh>

#include <cstdio>
#include <cstring>
#include <vector>

using namespace lpw;

namespace {

__global__ void fill_one_too_many(float* global, int count, bool in_shared) {
  kernels::SharedMemory memory;
  float* shared = memory.take<float>(count);
  float* target = in_shared ? shared : global;
  for (int i = static_cast<int>(threadIdx.x); i <= count; i += static_cast<int>(blockDim.x)) target[i] = 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (!LPW_ASAN) {
    std::puts("SKIPPED: out-of-bounds accesses are found in builds with AddressSanitizer (LPW_SANITIZE=address)");
    return 0;
  }
  constexpr int count = 64;
  std::vector<float> global(count);
  emulator::emulate({.grid = 1, .block = 32, .shared_bytes = kernels::shared_bytes<float>(count)},
                    [&] { fill_one_too_many(global.data(), count, argc > 1 && std::strcmp(argv[1], "shared") == 0); });
  std::puts("the out-of-bounds access was not found");
}
