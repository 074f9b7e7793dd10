// How many threads each process may use to advantage where several train on one machine.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// The name of a machine, as much of it as there is room for.
using HostName = std::array<char, 64>;
[[nodiscard]] inline HostName own_host() {
  HostName name = {};
  ::gethostname(name.data(), name.size() - 1);
  return name;
}

/// Where a process may run.
struct ProcessorMask {
  HostName host = {};                        // of the machine
  std::array<unsigned long, 128> bits = {};  // of at most 8192 processors
};

/// The calling thread's.
[[nodiscard]] inline ProcessorMask own_processors() {
  ProcessorMask own{.host = own_host()};
  ::sched_getaffinity(0, sizeof own.bits, static_cast<cpu_set_t*>(static_cast<void*>(own.bits.data())));
  return own;
}

/// What falls to a process of the processors that it may run on: of one that others of the same host may run on as
/// well, a part. At least 1.
[[nodiscard]] inline int fair_share(const std::vector<ProcessorMask>& all, std::size_t own) {
  constexpr std::size_t width = 8 * sizeof(unsigned long);
  double share = 0;
  for (std::size_t bit = 0; bit < all[own].bits.size() * width; ++bit) {
    const auto may_run = [&](const ProcessorMask& mask) { return (mask.bits[bit / width] >> bit % width & 1) != 0; };
    if (!may_run(all[own])) continue;
    share += 1.0 / static_cast<double>(std::count_if(all.begin(), all.end(), [&](const ProcessorMask& mask) {
               return mask.host == all[own].host && may_run(mask);
             }));
  }
  return std::max(1, static_cast<int>(share + 1e-6));
}

/// The threads of this process, so that those of one host have a thread a processor together. All call it together.
[[nodiscard]] inline int threads_of_process(AnyCommunicator& processes) {
  std::vector<ProcessorMask> all(to_size(processes.size()));
  const ProcessorMask own = own_processors();
  processes.gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
  return fair_share(all, to_size(processes.rank()));
}

}  // namespace lpw::inline LPW_ABI::distributed
