# LPW_PORTABLE: programs for any x86-64 from 2009 on, at the speed of the machine that they run on. Each is built three
# times, for x86-64-v2, -v3 and -v4, and installed as libexec/lpw/<level>/NAME; bin/lpw-NAME is a launcher that starts
# one of them (examples/launcher/launch.cpp).
#   lpw_portable(<variable>)           whether the option is set and does something here
#   lpw_add_launcher(<target> <name> <path of the levels> <source of the processor's level>...)
#   lpw_add_portable(<program>...)     builds and installs them, as target lpw_portable
include(ExternalProject)
include(GNUInstallDirs)

function(lpw_portable variable)
  set(portable FALSE)
  if(LPW_PORTABLE AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$"
      AND CMAKE_SIZEOF_VOID_P EQUAL 8)
    set(portable TRUE)
  elseif(LPW_PORTABLE)
    message(STATUS "lpw: LPW_PORTABLE does nothing here: it chooses among levels of x86-64 on Linux, and this is "
      "${CMAKE_SYSTEM_PROCESSOR} on ${CMAKE_SYSTEM_NAME}")
  endif()
  set(${variable} ${portable} PARENT_SCOPE)
endfunction()

# For any x86-64: without LPW_MARCH.
function(lpw_add_launcher target name levels)
  add_executable(${target} ${PROJECT_SOURCE_DIR}/examples/launcher/launch.cpp ${ARGN})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/examples/launcher)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_options(${target} PRIVATE -march=x86-64 -Wall -Wextra -Wpedantic $<$<BOOL:${LPW_WERROR}>:-Werror>)
  target_compile_definitions(${target} PRIVATE LPW_PROGRAM="${name}" LPW_LEVELS="${levels}")
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# A build of its own for each level, of this source tree and with this build's options. One after another: each uses all
# processors, or as many as CMAKE_BUILD_PARALLEL_LEVEL in the environment says.
function(lpw_add_portable)
  file(RELATIVE_PATH levels /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBEXECDIR}/lpw)
  set(options -DLPW_PORTABLE:BOOL=OFF -DLPW_CUDA:STRING=OFF -DLPW_MPI:STRING=OFF -DLPW_INSTALL:BOOL=OFF
    -DLPW_BUILD_TESTS:BOOL=OFF -DLPW_BUILD_BENCHMARKS:BOOL=OFF)
  foreach(name CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER CMAKE_CXX_FLAGS CMAKE_CXX_FLAGS_RELEASE CMAKE_PREFIX_PATH
      CMAKE_TOOLCHAIN_FILE LPW_COMPUTE_OPTIONS LPW_ONEDNN LPW_JPEG LPW_PNG LPW_WERROR)
    if(${name})
      list(APPEND options "-D${name}:STRING=${${name}}")
    endif()
  endforeach()
  set(before "")
  set(builds "")
  foreach(level x86-64-v2 x86-64-v3 x86-64-v4)
    set(folder ${PROJECT_BINARY_DIR}/levels/${level})
    ExternalProject_Add(lpw_${level} SOURCE_DIR ${PROJECT_SOURCE_DIR} BINARY_DIR ${folder} PREFIX ${folder}-steps
      DEPENDS ${before} CMAKE_CACHE_ARGS ${options} -DLPW_MARCH:STRING=${level}
      BUILD_COMMAND ${CMAKE_COMMAND} --build ${folder} --target ${ARGN} INSTALL_COMMAND ""
      BUILD_ALWAYS ON USES_TERMINAL_CONFIGURE ON USES_TERMINAL_BUILD ON)
    set(before lpw_${level})
    list(APPEND builds lpw_${level})
    foreach(name ${ARGN})
      install(PROGRAMS ${folder}/examples/${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/lpw/${level}
        COMPONENT lpw_programs EXCLUDE_FROM_ALL)
    endforeach()
  endforeach()
  add_custom_target(lpw_portable DEPENDS ${builds})
  foreach(name ${ARGN})
    lpw_add_launcher(lpw_launcher_${name} ${name} ${levels} ${PROJECT_SOURCE_DIR}/examples/launcher/processor.cpp)
    add_dependencies(lpw_portable lpw_launcher_${name})
    install(PROGRAMS $<TARGET_FILE:lpw_launcher_${name}> DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME lpw-${name}
      COMPONENT lpw_programs EXCLUDE_FROM_ALL)
  endforeach()
endfunction()
