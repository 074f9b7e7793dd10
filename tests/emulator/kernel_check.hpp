// What the tests of single kernels share: launches under several orders of threads, and comparison with a result in
// double.
#pragma once

#include "emulator/asan.hpp"
#include "emulator/emulator.hpp"

#include <lpw/cuda/plans/launch.hpp>
#include <lpw/kernels/device.cuh>

#include <cmath>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

#if LPW_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace lpw::test {

/// plan_elements for a GPU so small that threads take several steps of small tensors.
[[nodiscard]] constexpr LaunchPlan small_plan(std::int64_t vectors, std::int64_t rows = 1) {
  return plan_elements(1, vectors, rows, 2);
}

/// An output whose elements a kernel must all write: it starts as NaN, or as a number that no test expects.
template <class T>
[[nodiscard]] Tensor<T, Cpu> unwritten(const Shape& shape) {
  if constexpr (std::is_integral_v<T>) {
    return full<T, Cpu>(shape, T(0x7eadbeef));
  } else {
    return full<T, Cpu>(shape, T(std::nanf("")));
  }
}

/// While it lives, AddressSanitizer stops accesses to what the pool gave a tensor beyond its size.
template <class T>
class GuardedEnd {
 public:
  explicit GuardedEnd(const Tensor<T, Cpu>& tensor) {
    const std::size_t bytes = static_cast<std::size_t>(tensor.size()) * sizeof(T);
    const bool whole_block =
        tensor.contiguous() && reinterpret_cast<std::uintptr_t>(tensor.data()) % CpuPool::alignment == 0;
    if (!whole_block || bytes == 0) return;
    end_ = reinterpret_cast<const std::byte*>(tensor.data()) + bytes;
    slack_ = CpuPool::round_up(bytes) - bytes;
#if LPW_ASAN
    __asan_poison_memory_region(end_, slack_);
#endif
  }
  ~GuardedEnd() {
#if LPW_ASAN
    __asan_unpoison_memory_region(end_, slack_);
#endif
  }
  GuardedEnd(const GuardedEnd&) = delete;
  GuardedEnd& operator=(const GuardedEnd&) = delete;

 private:
  const std::byte* end_ = nullptr;
  std::size_t slack_ = 0;
};

/// Launches `kernel` under `seeds` orders of threads, each time from the same starting values of `outputs`: all are to
/// leave the same bits.
template <int seeds = 8, class Kernel, class... V>
[[nodiscard]] Verdict same_on_any_order(const LaunchPlan& plan, const Kernel& kernel, Tensor<V, Cpu>&... outputs) {
  const std::tuple<Tensor<V, Cpu>...> start(clone(outputs)...);
  std::tuple<Tensor<V, Cpu>...> first;
  const std::tuple<GuardedEnd<V>...> guards(outputs...);
  Verdict same;
  for (int seed = 0; seed < seeds; ++seed) {
    std::apply([&](const auto&... before) { (copy(before, outputs), ...); }, start);
    emulator::emulate({.grid = {plan.grid_x, plan.grid_y},
                       .block = LaunchPlan::block,
                       .shared_bytes = plan.shared_bytes,
                       .seed = static_cast<std::uint64_t>(seed)},
                      kernel);
    if (seed == 0) {
      first = {clone(outputs)...};
      continue;
    }
    std::apply(
        [&](const auto&... expected) {
          const auto add = [&](const Verdict& next) { same = same ? next : same; };
          (add(same_bits(outputs, expected)), ...);
        },
        first);
  }
  return same;
}

/// One channel, odd counts, whole vectors, and slabs of which the last is not full.
inline constexpr std::int64_t channel_counts[] = {1, 3, 5, 17, 64, 72, 1040};

/// Values uniform in [-1, 1), every 7th of them 0 and every 11th NaN.
template <class T>
[[nodiscard]] Tensor<T, Cpu> awkward_tensor(const Shape& shape, std::uint32_t key) {
  auto x = random_tensor<T>(shape, key);
  for (std::int64_t i = 0; i < x.size(); ++i)
    if (i % 7 == 3 || i % 11 == 5) x.data()[i] = T(i % 7 == 3 ? 0.f : std::nanf(""));
  return x;
}

/// Both widths of access, the wide one where the kernel may use it.
template <class T, class Body>
void with_widths(bool wide, const Body& body) {
  body(std::integral_constant<int, 1>());
  if (wide) body(std::integral_constant<int, kernels::widest<T>>());
}

}  // namespace lpw::test
