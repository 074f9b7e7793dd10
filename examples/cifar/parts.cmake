# Trains in several processes, too, where mpirun starts them.
target_link_libraries(${objects} PRIVATE lpw::mpi)
