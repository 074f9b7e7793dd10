# find_package for something the build cannot do without. When it is missing, the message names the Debian package.
#   lpw_require(<package> <Debian package> [arguments of find_package...])
# Versions that were found and are too old are named, with where they are.
#   lpw_require_header(<variable> <header> <package> <Debian package>)
# The same for a package that is headers alone: sets the variable to their folder.
macro(lpw_require package debian)
  find_package(${package} QUIET ${ARGN})
  if(NOT ${package}_FOUND)
    set(lpw_considered "")
    foreach(lpw_version ${${package}_CONSIDERED_VERSIONS})
      list(POP_FRONT ${package}_CONSIDERED_CONFIGS lpw_config)
      string(APPEND lpw_considered " (${lpw_version} in ${lpw_config} is not what is needed: ${ARGN})")
    endforeach()
    message(FATAL_ERROR "lpw: ${package} was not found${lpw_considered}. "
      "On Debian and Ubuntu: apt-get install ${debian}. "
      "Elsewhere, install it and point CMAKE_PREFIX_PATH at it.")
  endif()
endmacro()

macro(lpw_require_header variable header package debian)
  find_path(${variable} ${header} DOC "Folder of ${header}")
  if(NOT ${variable})
    message(FATAL_ERROR "lpw: ${package} (${header}) was not found. On Debian and Ubuntu: apt-get install ${debian}. "
      "Elsewhere, install it and point CMAKE_PREFIX_PATH at it.")
  endif()
endmacro()
