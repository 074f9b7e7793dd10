# The text where none is given: the library's headers, in the program itself, so that it can be moved.
set(text ${CMAKE_CURRENT_BINARY_DIR}/enwik8_headers.cpp)
set(include ${PROJECT_SOURCE_DIR}/include/lpw)
file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${include}/*.hpp)
add_custom_command(OUTPUT ${text}
  COMMAND ${CMAKE_COMMAND} -DINCLUDE=${include} -DOUTPUT=${text} -P ${folder}/embed_headers.cmake
  DEPENDS ${headers} ${folder}/embed_headers.cmake VERBATIM)
target_sources(${objects} PRIVATE ${text})
target_include_directories(${objects} PRIVATE ${folder})
# Trains in several processes, too, where mpirun starts them.
target_link_libraries(${objects} PRIVATE lpw::mpi)
