# lpw::mpi: lpw::lpw for programs whose members train in several processes, which mpirun starts. The installed package
# runs this file too.
#   lpw_add_mpi()   follows LPW_MPI (AUTO, ON, OFF; AUTO if unset) and defines LPW_WITH_MPI as 1 or 0 for what links it.
# Without MPI such a program is compiled all the same, and is one process.
function(lpw_add_mpi)
  set(found FALSE)
  if(NOT DEFINED LPW_MPI OR NOT LPW_MPI STREQUAL "OFF")
    set(MPI_CXX_SKIP_MPICXX TRUE)  # MPI's own classes for C++, long withdrawn
    find_package(MPI QUIET COMPONENTS CXX)
    set(found ${MPI_CXX_FOUND})
  endif()
  if(LPW_MPI STREQUAL "ON" AND NOT found)
    message(FATAL_ERROR "lpw: LPW_MPI=ON, but MPI was not found. "
      "On Debian and Ubuntu: apt-get install libopenmpi-dev. "
      "Elsewhere, install it and put its mpicxx on PATH, or set LPW_MPI=AUTO to do without.")
  endif()
  add_library(lpw_mpi INTERFACE)
  add_library(lpw::mpi ALIAS lpw_mpi)
  target_link_libraries(lpw_mpi INTERFACE lpw::lpw)
  if(found)
    target_link_libraries(lpw_mpi INTERFACE MPI::MPI_CXX)
    target_compile_definitions(lpw_mpi INTERFACE LPW_WITH_MPI=1)
    message(STATUS "lpw: MPI ${MPI_CXX_VERSION} found: lpw::mpi trains members in several processes")
  else()
    target_compile_definitions(lpw_mpi INTERFACE LPW_WITH_MPI=0)
    message(STATUS "lpw: without MPI (LPW_MPI=${LPW_MPI}): programs that link lpw::mpi are one process "
      "(Debian and Ubuntu: libopenmpi-dev)")
  endif()
  set(LPW_MPI_FOUND ${found} PARENT_SCOPE)
  set(LPW_MPIEXEC ${MPIEXEC_EXECUTABLE} PARENT_SCOPE)
endfunction()
