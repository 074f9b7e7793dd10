# Finds the CUDA toolkit with cuBLAS and cuDNN. Sets LPW_CUDA_FOUND; then there is
#   lpw_add_cuda_program(<name> <source>...)   an executable of which nvcc compiles the given sources, with the CUDA
#                                              backend
#   lpw_use_cuda(<target> <source>...)         the same for sources of an existing target
#   lpw_parse_cuda(<name> <source>...)   where LPW_CUDA_PARSED is true, which is so with LPW_CUDA_QUICKLY in a build for
#                              no GPU: a target that parses sources with kernels of lpw's alone, which nobody links, by
#                              nvcc's front end for the host and the host compiler's, and makes no code of either:
#                              tests/structure/kernels.cu has it made of every kernel of lpw's
# and LPW_CUDA_UNSEEN, which is true where the architectures are virtual: what is built then is for no GPU, and compiled
# to know that it compiles.
set(LPW_CUDA_FOUND FALSE)
set(lpw_cuda_missing "no CUDA toolkit")
if(NOT LPW_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND AND NOT CMAKE_CUDA_COMPILER AND CUDAToolkit_NVCC_EXECUTABLE)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  set(lpw_generate_code "")
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    # No kernel asks for its architecture, so one PTX makes the code of all, which CMake's own option would compile
    # three times; what comes after takes the PTX.
    set(CMAKE_CUDA_ARCHITECTURES OFF)
    set(lpw_sm_100 ,sm_100)
    if(CUDAToolkit_VERSION VERSION_LESS 12.8)
      set(lpw_sm_100 "")  # which that nvcc does not know
    endif()
    set(lpw_generate_code "--generate-code=arch=compute_80,code=[compute_80,sm_80,sm_90${lpw_sm_100}]")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    # The host's share of these files issues work and does none.
    string(REPLACE "-O3" "-O1" CMAKE_CUDA_FLAGS_RELEASE "${CMAKE_CUDA_FLAGS_RELEASE}")
    find_path(LPW_CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} DOC "Folder of cudnn.h")
    find_library(LPW_CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} DOC "cuDNN")
    if(CUDAToolkit_VERSION VERSION_LESS 12)
      set(lpw_cuda_missing "only CUDA ${CUDAToolkit_VERSION}, which is older than 12,")
    elseif(NOT TARGET CUDA::cublas)
      set(lpw_cuda_missing "the CUDA toolkit lacks cuBLAS")
    elseif(NOT LPW_CUDNN_INCLUDE OR NOT LPW_CUDNN_LIBRARY)
      set(lpw_cuda_missing "there is no cuDNN (set LPW_CUDNN_INCLUDE and LPW_CUDNN_LIBRARY if it is elsewhere)")
    else()
      set(LPW_CUDA_FOUND TRUE)
    endif()
  endif()
endif()

if(LPW_CUDA_FOUND)
  if(lpw_generate_code)
    set(lpw_architectures "80, 90, 100 and later")
  else()
    list(JOIN CMAKE_CUDA_ARCHITECTURES ", " lpw_architectures)
  endif()
  message(STATUS "lpw: CUDA ${CMAKE_CUDA_COMPILER_VERSION} with cuDNN found: "
    "programs are built for GPUs of architecture ${lpw_architectures}, too")
elseif(LPW_CUDA STREQUAL "ON")
  message(FATAL_ERROR "lpw: LPW_CUDA=ON, but ${lpw_cuda_missing} was found. Install NVIDIA's cuda-toolkit and cudnn "
    "packages; then put nvcc on the PATH or set CUDAToolkit_ROOT. LPW_CUDA=AUTO does without.")
else()
  message(STATUS "lpw: without CUDA (LPW_CUDA=${LPW_CUDA}, ${lpw_cuda_missing}): programs run on the CPU only")
endif()

set(LPW_CUDA_UNSEEN FALSE)
if(LPW_CUDA_FOUND AND CMAKE_CUDA_ARCHITECTURES MATCHES "virtual")
  set(LPW_CUDA_UNSEEN TRUE)
endif()

if(LPW_CUDA_FOUND)
  # An nvcc reads the host compiler's headers itself, and those of a later compiler, for instructions that it does not
  # know: CUDA 12.6 fails at GCC 14's for the AMX of -march=native.
  set(lpw_cuda_march ${lpw_march_flag})
  if(lpw_march_flag)
    include(CheckSourceCompiles)
    string(MAKE_C_IDENTIFIER "LPW_NVCC_TAKES_${LPW_MARCH}" lpw_taken)
    set(CMAKE_REQUIRED_FLAGS "-std=c++20 -Xcompiler=${lpw_march_flag}")
    check_source_compiles(CUDA "#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\nint main() { return 0; }"
      ${lpw_taken})
    unset(CMAKE_REQUIRED_FLAGS)
    if(NOT ${lpw_taken})
      set(lpw_cuda_march "")
      message(STATUS "lpw: nvcc cannot compile for ${lpw_march_flag} with this host compiler: "
        "the host's share of its files is compiled for the compiler's default")
    endif()
  endif()

  add_library(lpw_cuda_flags INTERFACE)
  # CMake 3.25 passes no -std to the nvcc of CUDA 13 even where CUDA_STANDARD is 20. The host compiler gets the flags it
  # has for other files.
  set(lpw_host_flags ${lpw_cuda_march} -Wall -Wno-maybe-uninitialized)
  list(JOIN lpw_host_flags "," lpw_host_flags)
  target_compile_options(lpw_cuda_flags INTERFACE
    # 1675: pragmas for the host compiler; 3189: "module" at the start of a line.
    "$<$<COMPILE_LANGUAGE:CUDA>:${lpw_generate_code};-std=c++20;-Xcompiler=${lpw_host_flags};--diag-suppress=1675,3189>"
    "$<$<AND:$<BOOL:${LPW_WERROR}>,$<COMPILE_LANGUAGE:CUDA>>:-Werror=all-warnings>")
  if(LPW_CUDA_QUICKLY AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13)  # of which nvcc has the option
    target_compile_options(lpw_cuda_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:--Ofast-compile=max>)
  endif()
  target_include_directories(lpw_cuda_flags SYSTEM INTERFACE ${LPW_CUDNN_INCLUDE})
  target_compile_definitions(lpw_cuda_flags INTERFACE LPW_WITH_CUDA=1 EIGEN_NO_CUDA)  # Eigen is used by the host alone
  target_link_libraries(lpw_cuda_flags INTERFACE CUDA::cublas ${LPW_CUDNN_LIBRARY})
endif()

function(lpw_use_cuda target)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CUDA)
  target_sources(${target} PRIVATE ${ARGN})
  target_link_libraries(${target} PRIVATE lpw_cuda_flags)
endfunction()

set(LPW_CUDA_PARSED FALSE)
if(LPW_CUDA_QUICKLY AND LPW_CUDA_UNSEEN AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  set(LPW_CUDA_PARSED TRUE)
endif()

function(lpw_parse_cuda name)
  set(number 0)
  set(sources "")
  foreach(source ${ARGN})  # the device's front end, which writes all templates out before it is told to end, sees none
    math(EXPR number "${number} + 1")
    set(parsed ${CMAKE_CURRENT_BINARY_DIR}/parsed/${name}_${number}.cpp)
    file(CONFIGURE OUTPUT ${parsed} CONTENT "#ifndef __CUDA_ARCH__\n#include \"${source}\"\n#endif\n" @ONLY)
    list(APPEND sources ${parsed})
  endforeach()
  add_library(${name} OBJECT)
  target_link_libraries(${name} PRIVATE lpw::lpw lpw_program_flags)
  lpw_use_cuda(${name} ${sources})
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fsyntax-only>)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF
    CUDA_COMPILER_LAUNCHER "sh;${PROJECT_SOURCE_DIR}/cmake/empty_object.sh")
endfunction()

function(lpw_add_cuda_program name)
  add_executable(${name})
  target_link_libraries(${name} PRIVATE lpw::lpw lpw_program_flags)
  lpw_use_cuda(${name} ${ARGN})
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()
