// __builtin_cpu_supports says of vector instructions what is true of processor and operating system together: it asks
// XGETBV whether their registers are saved. Not all compilers know all names that the levels ask for; the rest is asked
// of CPUID.
#include "processor.hpp"

#include <cpuid.h>

namespace launcher {

namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf) {
  Registers r;
  if (__get_cpuid(leaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool has_v2() {
  const Registers basic = cpuid(1), extended = cpuid(0x80000001);
  const bool exchanges_16_bytes = basic.ecx >> 13 & 1u, saves_flags = extended.ecx & 1u;  // CMPXCHG16B, LAHF
  return exchanges_16_bytes && saves_flags && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse3") &&
         __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2");
}

bool has_v3() {
  const Registers basic = cpuid(1), extended = cpuid(0x80000001);
  const bool halves = basic.ecx >> 29 & 1u, moves_swapped = basic.ecx >> 22 & 1u;  // F16C, MOVBE
  const bool counts_zeros = extended.ecx >> 5 & 1u;                                // LZCNT
  return halves && moves_swapped && counts_zeros && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
         __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

bool has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

}  // namespace

int processor_level() {
  __builtin_cpu_init();
  if (!has_v2()) return 1;
  if (!has_v3()) return 2;
  return has_v4() ? 4 : 3;
}

}  // namespace launcher
