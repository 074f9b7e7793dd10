// The processes of one machine, by whom one that died can be told before the launcher ends the others.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/processors.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// Whether the machine has a process of this number. May be asked in a signal's handler.
[[nodiscard]] inline bool lives(pid_t process) { return ::kill(process, 0) == 0 || errno != ESRCH; }

/// The numbers that the machine knows its processes by, in the order of their ranks; 0 for those of other machines, or
/// that are not to be seen from here, in another container say. All call it together.
[[nodiscard]] inline std::vector<pid_t> processes_here(AnyCommunicator& processes) {
  struct Place {
    HostName host = {};
    pid_t process = 0;
  };
  const Place own{own_host(), ::getpid()};
  std::vector<Place> all(to_size(processes.size()));
  processes.gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
  std::vector<pid_t> here;
  for (const Place& place : all) here.push_back(place.host == own.host && lives(place.process) ? place.process : 0);
  return here;
}

/// The rank of the first of these that lives no more, or -1. May be asked in a signal's handler.
[[nodiscard]] inline int first_dead(std::span<const pid_t> here) {
  for (std::size_t rank = 0; rank < here.size(); ++rank)
    if (here[rank] != 0 && !lives(here[rank])) return static_cast<int>(rank);
  return -1;
}

}  // namespace lpw::inline LPW_ABI::distributed
