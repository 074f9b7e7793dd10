# Installs the consumer's build BINARY_DIR, runs what was installed, and sees that it is the program alone: nothing of
# lpw.
set(prefix ${BINARY_DIR}/prefix)
file(REMOVE_RECURSE ${prefix})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BINARY_DIR} --prefix ${prefix} COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE files RELATIVE ${prefix} ${prefix}/*)
if(NOT files STREQUAL "bin/consumer")
  message(FATAL_ERROR "a project's installation is ${files}, expected bin/consumer")
endif()
execute_process(COMMAND ${prefix}/bin/consumer COMMAND_ERROR_IS_FATAL ANY)
