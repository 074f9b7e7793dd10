// Which GPU a process takes where several train on one machine: one each, in the order of their ranks.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/processors.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// The GPU, as CUDA_VISIBLE_DEVICES names it, of a process before which there are so many on its machine: of those that
/// are `visible` (that variable; null: all), or the one that whoever started the process left it. Throws OptionError
/// for more processes than a list has GPUs.
[[nodiscard]] inline std::string gpu_of(const char* visible, std::int64_t before) {
  if (visible == nullptr) return std::to_string(before);
  const std::string_view list(visible);
  if (list.find(',') == list.npos) return std::string(list);
  std::size_t first = 0;
  for (std::int64_t skipped = 0; skipped < before; ++skipped) {
    first = list.find(',', first);
    require<OptionError>(first != list.npos, "CUDA_VISIBLE_DEVICES ", list, ": no GPU is left for process number ",
                         before + 1, " of this machine; start as many as there are GPUs");
    ++first;
  }
  return std::string(list.substr(first, list.find(',', first) - first));
}

/// Leaves each process the GPU that is its own (gpu_of). Before CUDA's first call; all call it together. Throws as
/// gpu_of.
inline void take_gpu(AnyCommunicator& processes) {
  const HostName own = own_host();
  std::vector<HostName> all(to_size(processes.size()));
  processes.gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
  const auto before = std::count(all.begin(), all.begin() + processes.rank(), own);
  ::setenv("CUDA_VISIBLE_DEVICES", gpu_of(std::getenv("CUDA_VISIBLE_DEVICES"), before).c_str(), 1);
}

}  // namespace lpw::inline LPW_ABI::distributed
