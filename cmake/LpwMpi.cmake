# lpw::mpi: lpw::lpw for programs whose members train in several processes, which mpirun starts. The installed package
# runs this file too.
#   lpw_add_mpi()   follows LPW_MPI (AUTO, ON, OFF; AUTO if unset) and defines LPW_WITH_MPI as 1 or 0 for what links it.
# Without MPI such a program is compiled all the same, and is one process.
include(LpwOptional)

function(lpw_add_mpi)
  set(found FALSE)
  if(NOT DEFINED LPW_MPI OR NOT LPW_MPI STREQUAL "OFF")
    set(MPI_CXX_SKIP_MPICXX TRUE)  # MPI's own classes for C++, long withdrawn
    find_package(MPI QUIET COMPONENTS CXX)
    set(found ${MPI_CXX_FOUND})
  endif()
  lpw_refuse_missing(LPW_MPI "${found}" MPI libopenmpi-dev "put its mpicxx on PATH")
  lpw_add_part(mpi "${found}")
  if(found)
    target_link_libraries(lpw_mpi INTERFACE MPI::MPI_CXX)
    message(STATUS "lpw: MPI ${MPI_CXX_VERSION} found: lpw::mpi trains members in several processes")
  else()
    message(STATUS "lpw: without MPI (LPW_MPI=${LPW_MPI}): programs that link lpw::mpi are one process "
      "(Debian and Ubuntu: libopenmpi-dev)")
  endif()
  set(LPW_MPI_FOUND ${found} PARENT_SCOPE)
  set(LPW_MPIEXEC ${MPIEXEC_EXECUTABLE} PARENT_SCOPE)
endfunction()
