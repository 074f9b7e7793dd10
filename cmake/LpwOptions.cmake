# The options of the build, with their checks and defaults.

# A cached string that is one of AUTO, ON, OFF.
function(lpw_tristate name help)
  set(${name} AUTO CACHE STRING "${help}")
  set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
  if(NOT ${name} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "lpw: ${name} is '${${name}}', expected AUTO, ON or OFF")
  endif()
endfunction()

lpw_tristate(LPW_ONEDNN "oneDNN for convolutions on the CPU: AUTO uses it if found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_MPI "MPI for members in several processes: AUTO uses it if found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_NCCL "NCCL for sums over processes on their GPUs: \
AUTO uses it if found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_ONNX "Export of networks to ONNX: AUTO if protozero is found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_JPEG "Reading of JPEG files: AUTO if libjpeg-turbo is found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_PNG "Reading of PNG files: AUTO if libpng is found, ON requires it, OFF leaves it out")
lpw_tristate(LPW_CUDA "The CUDA backend in this project's programs: \
AUTO if nvcc, cuBLAS and cuDNN are found, ON requires them, OFF leaves it out")

option(LPW_INSTALL "Install lpw with cmake --install" ${PROJECT_IS_TOP_LEVEL})
option(LPW_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(LPW_EMULATOR "Test the CUDA kernels and backend on the host, which needs Boost.Context" ON)
option(LPW_BUILD_EXAMPLES "Build the example programs" ${PROJECT_IS_TOP_LEVEL})
option(LPW_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
if(PROJECT_IS_TOP_LEVEL)
  set(lpw_march native)
else()
  set(lpw_march "")
endif()
set(LPW_MARCH ${lpw_march} CACHE STRING
  "Instruction set of this project's programs, as the compiler's -march calls it; empty: the compiler's default")
if(DEFINED LPW_NATIVE)  # -DLPW_NATIVE=ON or OFF, for who does not want to name one
  set(lpw_march "")
  if(LPW_NATIVE)
    set(lpw_march native)
  endif()
  set_property(CACHE LPW_MARCH PROPERTY VALUE "${lpw_march}")
endif()
option(LPW_PORTABLE "Install programs for any x86-64 from 2009 on, which choose their instruction set at start" OFF)
option(LPW_UNITE
  "Compile the files of a program together, which is several times faster in all; OFF: each by itself" ON)
option(LPW_PRECOMPILE "Compile the headers of most tests once for all, where no compiler cache is used" OFF)
mark_as_advanced(LPW_PRECOMPILE)
set(LPW_COMPUTE_OPTIONS "" CACHE STRING
  "More compile options for what computes in this project's programs: lpw::compiled, trainers and the emulated kernels")
set(LPW_COMPILED_EXCEPT "" CACHE STRING
  "Sources of lpw::compiled that nothing of this build needs, as a regular expression; empty for none")
mark_as_advanced(LPW_COMPILED_EXCEPT)
set(LPW_TESTS_EXCEPT "" CACHE STRING
  "Folders of tests that another build runs, as a regular expression; empty for none")
mark_as_advanced(LPW_TESTS_EXCEPT)
option(LPW_CUDA_QUICKLY
  "Compile kernels for who wants to know that they compile: in less time, to slower code, to none for no GPU" OFF)
mark_as_advanced(LPW_CUDA_QUICKLY)
option(LPW_WERROR "Treat compiler warnings in this project's programs as errors" OFF)
set(LPW_SANITIZE "" CACHE STRING "Sanitizers for this project's programs, such as address,undefined; empty for none")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
