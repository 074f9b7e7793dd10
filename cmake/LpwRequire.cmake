# find_package for something the build cannot do without. When it is missing, the message names the Debian package.
#   lpw_require(<package> <Debian package> [arguments of find_package...])
macro(lpw_require package debian)
  find_package(${package} QUIET ${ARGN})
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "lpw: ${package} was not found. On Debian and Ubuntu: apt-get install ${debian}. "
      "Elsewhere, install it and point CMAKE_PREFIX_PATH at it.")
  endif()
endmacro()
