// Launches of our kernels, and what they need to be allowed first.
#pragma once

#include <map>
#include <type_traits>

#include <lpw/cuda/base/limits.hpp>

namespace lpw::inline LPW_ABI::cuda {

namespace detail {

/// What the driver was told and has answered about a kernel. Launches are all of one thread, like their stream.
struct KernelState {
  std::size_t allowed_shared = 48 << 10;       // bytes; more needs an attribute
  int carveout = -1;                           // percent; -1: the driver's choice
  std::map<std::size_t, int> resident_blocks;  // by shared bytes of a block
};

inline KernelState& kernel_state(const void* kernel) {
  static std::map<const void*, KernelState>& states = *new std::map<const void*, KernelState>;
  return states[kernel];
}

/// Lets each of the kernel's blocks take so much shared memory, and `blocks` of them lie on a multiprocessor at once.
/// What was allowed before stays so: launches in a captured graph may go by what holds when it is replayed.
inline void allow_shared(const void* kernel, std::size_t shared_bytes, std::int64_t blocks, const Place& place) {
  if (shared_bytes == 0) return;
  KernelState& state = kernel_state(kernel);
  const auto set = [&](cudaFuncAttribute attribute, int value) {
    check(cudaFuncSetAttribute(kernel, attribute, value), "cudaFuncSetAttribute", place);
  };
  if (shared_bytes > state.allowed_shared) {
    set(cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    state.allowed_shared = shared_bytes;
  }
  const int carveout = shared_carveout(device_limits(), shared_bytes, blocks);
  if (carveout <= state.carveout) return;
  set(cudaFuncAttributePreferredSharedMemoryCarveout, carveout);
  state.carveout = carveout;
}

/// Blocks of a launch that a multiprocessor is to hold at once.
[[nodiscard]] inline std::int64_t blocks_to_hold(const LaunchPlan& plan) {
  constexpr std::int64_t most = 2048 / LaunchPlan::block;  // threads of a multiprocessor
  const std::int64_t grid = std::int64_t{plan.grid_x} * plan.grid_y;
  return std::min(most, lpw::detail::blocks_for(grid, device_limits().multiprocessors));
}

}  // namespace detail

/// Blocks of the kernel, each with so much shared memory, that a multiprocessor holds at once where it is to hold up to
/// `most`. The driver is asked once.
template <class Parameters>
[[nodiscard]] int resident_blocks(void (*kernel)(Parameters), std::int64_t shared_bytes, int most,
                                  const Place& place = Place::current()) {
  const auto* address = reinterpret_cast<const void*>(kernel);
  const auto bytes = static_cast<std::size_t>(shared_bytes);
  auto& known = detail::kernel_state(address).resident_blocks;
  if (const auto at = known.find(bytes); at != known.end()) return std::min(at->second, most);
  detail::allow_shared(address, bytes, most, place);
  int blocks = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, address, LaunchPlan::block, bytes),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor", place);
  known.emplace(bytes, blocks);
  return std::min(blocks, most);
}

/// What a cooperative launch of this kernel is planned for: limits(), with no more resident blocks than the driver has
/// room for. At least one, which the launch itself refuses where even that is too much.
template <class Parameters>
[[nodiscard]] GpuLimits cooperative_limits(void (*kernel)(Parameters), const Place& place = Place::current()) {
  GpuLimits gpu = limits();
  while (gpu.resident_blocks > 1 &&
         resident_blocks(kernel, gpu.shared_of_resident(), gpu.resident_blocks, place) < gpu.resident_blocks)
    --gpu.resident_blocks;
  return gpu;
}

/// Runs kernel(parameters) on stream `on`, once for each thread of the plan's grid.
template <class Parameters>
void launch(void (*kernel)(Parameters), const LaunchPlan& plan, const std::type_identity_t<Parameters>& parameters,
            cudaStream_t on, const Place& place = Place::current()) {
  detail::allow_shared(reinterpret_cast<const void*>(kernel), plan.shared_bytes, detail::blocks_to_hold(plan), place);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(plan.grid_x, plan.grid_y);
  config.blockDim = dim3(LaunchPlan::block);
  config.dynamicSmemBytes = plan.shared_bytes;
  config.stream = on;
  config.attrs = &attribute;
  config.numAttrs = plan.cooperative ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, parameters), "cudaLaunchKernelEx", place);
}

/// Runs kernel(parameters) on stream().
template <class Parameters>
void launch(void (*kernel)(Parameters), const LaunchPlan& plan, const std::type_identity_t<Parameters>& parameters,
            const Place& place = Place::current()) {
  launch(kernel, plan, parameters, stream(), place);
}

}  // namespace lpw::inline LPW_ABI::cuda
