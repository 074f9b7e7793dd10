# Trains in several processes, too, where mpirun starts them.
target_link_libraries(${objects} PUBLIC lpw::mpi)
