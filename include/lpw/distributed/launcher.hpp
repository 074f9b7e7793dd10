// What the environment says of the processes that a program was started as one of: by mpirun (Open MPI, MPICH) or
// Slurm's srun.
#pragma once

#include <array>
#include <cstdlib>
#include <optional>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// As a launcher numbered them.
struct Launched {
  int processes = 1;          // that were started together
  int rank = 0;               // of this one
  const char* variable = "";  // that says how many there are
};

/// Nothing where no launcher started this program. Slurm sets most of its variables in a batch script, too, where there
/// is one process; those of a step are srun's.
[[nodiscard]] inline std::optional<Launched> launched() {
  constexpr std::array<std::array<const char*, 2>, 3> launchers{{{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                                                 {"PMI_SIZE", "PMI_RANK"},
                                                                 {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}};
  for (const auto& [size, rank] : launchers)
    if (const char* const processes = std::getenv(size)) {
      const char* const number = std::getenv(rank);
      return Launched{std::atoi(processes), number ? std::atoi(number) : 0, size};
    }
  return std::nullopt;
}

}  // namespace lpw::inline LPW_ABI::distributed
