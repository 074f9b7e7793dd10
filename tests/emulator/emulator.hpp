// Compiles kernels/lpw/kernels/*.cuh as C++ and runs them on the host. Include this before any kernel:
//
//   #include "emulator/emulator.hpp"
//   #include <lpw/kernels/batch_norm.cuh>
//
//   emulate({.grid = 4, .block = 256, .shared_bytes = bytes, .seed = seed}, [&] { kernels::batch_norm_forward<float,
//   4>(parameters); });
//
// grid.hpp says what is found and how. What the emulator lacks on purpose: __shared__ variables, float atomics,
// textures.
#pragma once

#define LPW_EMULATOR 1

#include <bit>
#include <cmath>
#include <type_traits>

#include "emulator/grid.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace lpw::emulator {

/// Runs kernel() once for every thread of the grid. Throws lpw::Error for what would hang or be undefined on a GPU.
template <class Kernel>
void emulate(const LaunchOptions& options, const Kernel& kernel) {
  Grid(
      options, [](const void* body) { (*static_cast<const Kernel*>(body))(); }, &kernel)
      .run();
}

// What lpw/kernels/device.cuh is built on.

template <class Word>
[[nodiscard]] Word read(const void* from, const Site& site) {
  Grid::current()->check_access("a plain load", from, sizeof(Word), site);
  Word word;
  std::memcpy(&word, from, sizeof(Word));
  return word;
}
template <class Word>
void write(void* to, Word word, const Site& site) {
  Grid::current()->check_access("a plain store", to, sizeof(Word), site);
  std::memcpy(to, &word, sizeof(Word));
}
template <class Word>
[[nodiscard]] Word read_fresh(const void* from, const Site& site) {
  static_assert(sizeof(Word) % MemoryOrder::word_bytes == 0, "blocks hand each other words of 4 bytes");
  Grid::current()->check_alignment(from, sizeof(Word));
  Word word;
  Grid::current()->load_fresh(&word, from, sizeof(Word), site);
  return word;
}
template <class Word>
void write_fresh(void* to, Word word, const Site& site) {
  static_assert(sizeof(Word) % MemoryOrder::word_bytes == 0, "blocks hand each other words of 4 bytes");
  Grid::current()->check_alignment(to, sizeof(Word));
  Grid::current()->store_fresh(to, &word, sizeof(Word), site);
}
[[nodiscard]] inline unsigned char* shared_piece(std::size_t first, std::size_t bytes) {
  return Grid::current()->shared_piece(first, bytes);
}
inline void copy_async(void* to, const void* from, std::size_t bytes, const Site& site) {
  Grid::current()->copy_async(to, from, bytes, site);
}
inline void commit_copies() { Grid::current()->commit_copies(); }
inline void wait_copies(int pending) { Grid::current()->wait_copies(static_cast<unsigned>(pending)); }
template <class Condition>
void spin_while(Condition condition, const Site& site = Site::current()) {
  Grid::current()->spin_while(condition, site);
}

template <class V>
[[nodiscard]] V shuffle(std::string_view call, unsigned mask, V value, unsigned source, const Site& site) {
  static_assert(std::is_arithmetic_v<V> && sizeof(V) <= 8, "shuffles move numbers");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(V));
  bits = Grid::current()->warp_call(call, mask, bits, static_cast<int>(source), site);
  std::memcpy(&value, &bits, sizeof(V));
  return value;
}
[[nodiscard]] inline unsigned ballot(std::string_view call, unsigned mask, bool vote, const Site& site) {
  return static_cast<unsigned>(Grid::current()->warp_call(call, mask, vote, -1, site));
}
[[nodiscard]] inline unsigned lane() { return Grid::self().rank % 32; }

}  // namespace lpw::emulator

using LpwSite = lpw::emulator::Site;

inline void __syncthreads(const LpwSite& site = LpwSite::current()) { lpw::emulator::Grid::current()->barrier(site); }
inline void __syncwarp(unsigned mask = ~0u, const LpwSite& site = LpwSite::current()) {
  static_cast<void>(lpw::emulator::ballot("__syncwarp", mask, false, site));
}
inline void __threadfence() { lpw::emulator::Grid::current()->fence(); }
inline void __threadfence_block() {}

template <class V>
[[nodiscard]] V __shfl_sync(unsigned mask, V value, int source, int width = 32,
                            const LpwSite& site = LpwSite::current()) {
  const unsigned lane = lpw::emulator::lane(), w = static_cast<unsigned>(width);
  return lpw::emulator::shuffle("__shfl_sync", mask, value, lane / w * w + static_cast<unsigned>(source) % w, site);
}
template <class V>
[[nodiscard]] V __shfl_xor_sync(unsigned mask, V value, int lane_mask, int width = 32,
                                const LpwSite& site = LpwSite::current()) {
  const unsigned lane = lpw::emulator::lane(), w = static_cast<unsigned>(width),
                 source = lane ^ static_cast<unsigned>(lane_mask);
  return lpw::emulator::shuffle("__shfl_xor_sync", mask, value, source / w > lane / w ? lane : source, site);
}
template <class V>
[[nodiscard]] V __shfl_down_sync(unsigned mask, V value, unsigned delta, int width = 32,
                                 const LpwSite& site = LpwSite::current()) {
  const unsigned lane = lpw::emulator::lane(), w = static_cast<unsigned>(width), source = lane + delta;
  return lpw::emulator::shuffle("__shfl_down_sync", mask, value, source / w > lane / w ? lane : source, site);
}
template <class V>
[[nodiscard]] V __shfl_up_sync(unsigned mask, V value, unsigned delta, int width = 32,
                               const LpwSite& site = LpwSite::current()) {
  const unsigned lane = lpw::emulator::lane(), w = static_cast<unsigned>(width);
  return lpw::emulator::shuffle("__shfl_up_sync", mask, value, lane % w < delta ? lane : lane - delta, site);
}
[[nodiscard]] inline unsigned __ballot_sync(unsigned mask, int vote, const LpwSite& site = LpwSite::current()) {
  return lpw::emulator::ballot("__ballot_sync", mask, vote != 0, site);
}
[[nodiscard]] inline int __any_sync(unsigned mask, int vote, const LpwSite& site = LpwSite::current()) {
  return lpw::emulator::ballot("__any_sync", mask, vote != 0, site) != 0;
}
[[nodiscard]] inline int __all_sync(unsigned mask, int vote, const LpwSite& site = LpwSite::current()) {
  return lpw::emulator::ballot("__all_sync", mask, vote != 0, site) == mask;
}

template <class V>
  requires std::is_integral_v<V> V atomicExch(V* address, std::type_identity_t<V> value) {
    const V before = std::exchange(*address, value);
    lpw::emulator::Grid::current()->atomic_done(address);
    return before;
  }
template <class V>
V atomicAdd(V* address, std::type_identity_t<V> value) {
  return atomicExch(address, static_cast<V>(*address + value));
}
template <class V>
V atomicMax(V* address, std::type_identity_t<V> value) {
  return atomicExch(address, std::max(*address, value));
}
template <class V>
V atomicCAS(V* address, std::type_identity_t<V> expected, std::type_identity_t<V> value) {
  return atomicExch(address, *address == expected ? value : *address);
}
template <class V>
V __ldg(const V* address) {
  return *address;
}
