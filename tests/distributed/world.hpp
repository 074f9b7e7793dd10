// The processes that mpirun started the tests as.
#pragma once

#include <lpw/distributed/mpi.hpp>

namespace lpw::test {

/// MPI, from the first test to the end of the program.
inline lpw::distributed::Mpi& mpi() {
  static lpw::distributed::Mpi all;
  return all;
}

}  // namespace lpw::test
