# How the programs of this project (tests, examples, benchmarks) are compiled. Users of lpw::lpw choose their own flags.
#   lpw_add_program(<name> <source>...)   an executable with lpw::lpw and the flags below
#   lpw_unite(<variable> <name> <size> <source>...)   sources that include the given ones, up to <size> each
#   lpw_precompile(<name> <library> <header>...)   with LPW_PRECOMPILE, the target <name>, which compiles these headers
#                                                  as <library> is compiled
#   lpw_use_precompiled(<target> <name>)           a target with the same flags takes them from there

include(CheckCXXCompilerFlag)

add_library(lpw_program_flags INTERFACE)
target_compile_options(lpw_program_flags INTERFACE
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic>"
  # Of files that are compiled as one it also means names of their neighbours.
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,Clang,AppleClang>,$<NOT:$<BOOL:${LPW_UNITE}>>>:-Wshadow>
  # GCC's plain -Wshadow also means constructor parameters named like the members they initialise. Its
  # maybe-uninitialized fires in
  # GCC 12's own AVX-512 intrinsics, and under sanitizers where nothing is wrong.
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wshadow=local;-Wno-maybe-uninitialized>"
  $<$<AND:$<BOOL:${LPW_WERROR}>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>>:-Werror>)

# GCC's -O2 with the vectoriser of its -O3: programs are measured as fast as by -O3, and compile in three quarters of
# the time.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -ftree-vectorize -fvect-cost-model=dynamic -DNDEBUG")
endif()

# Fills `macros` with what the compiler predefines for the given flags, and `summary` with the widest vector
# instructions among it.
function(lpw_instruction_set macros summary)
  file(WRITE ${PROJECT_BINARY_DIR}/empty.cpp "")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${ARGN} -dM -E ${PROJECT_BINARY_DIR}/empty.cpp
    OUTPUT_VARIABLE found ERROR_QUIET)
  set(name "the compiler's default")
  foreach(entry "__AVX512F__=AVX-512" "__AVX2__=AVX2" "__AVX__=AVX" "__ARM_FEATURE_SVE=SVE" "__ARM_NEON=NEON"
      "__SSE4_2__=SSE4.2" "__SSE2__=SSE2")
    string(REGEX MATCH "^[^=]+" macro ${entry})
    if(found MATCHES "#define ${macro} ")
      string(REGEX REPLACE "^[^=]+=" "" name ${entry})
      break()
    endif()
  endforeach()
  set(${macros} "${found}" PARENT_SCOPE)
  set(${summary} "${name}" PARENT_SCOPE)
endfunction()

# The instruction set that programs are compiled for: LPW_MARCH as -march, or -mcpu where the compiler only knows that.
set(lpw_march_flag "")
if(LPW_MARCH)
  foreach(option march mcpu)
    string(MAKE_C_IDENTIFIER LPW_HAVE_${option}_${LPW_MARCH} known)
    check_cxx_compiler_flag(-${option}=${LPW_MARCH} ${known})
    if(${known})
      set(lpw_march_flag -${option}=${LPW_MARCH})
      break()
    endif()
  endforeach()
  if(NOT lpw_march_flag)
    message(FATAL_ERROR "lpw: LPW_MARCH is ${LPW_MARCH}, but ${CMAKE_CXX_COMPILER} knows neither "
      "-march=${LPW_MARCH} nor -mcpu=${LPW_MARCH}; "
      "set it to a name that it knows, or to nothing for the compiler's default")
  endif()
endif()
lpw_instruction_set(lpw_macros lpw_vectors ${lpw_march_flag})
target_compile_options(lpw_program_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${lpw_march_flag}>)
message(STATUS "lpw: programs are built with ${lpw_vectors} (${CMAKE_BUILD_TYPE}; LPW_MARCH=${LPW_MARCH})")

if(LPW_SANITIZE)
  # Left out: what AddressSanitizer finds as well, or the processor, and what makes compiling half as long again.
  set(lpw_sanitize -fsanitize=${LPW_SANITIZE} -fno-sanitize=null,alignment,object-size,vptr -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_compile_options(lpw_program_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${lpw_sanitize}>")
  target_link_options(lpw_program_flags INTERFACE ${lpw_sanitize})
  message(STATUS "lpw: programs are built with -fsanitize=${LPW_SANITIZE}")
endif()

# ccache when it is there. It takes "-march=native" for the same flag on every machine, so what the flag means here
# enters its key.
find_program(LPW_CCACHE ccache DOC "Compiler cache, used when found")
if(LPW_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  file(WRITE ${PROJECT_BINARY_DIR}/instruction-set.txt "${lpw_macros}")
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_EXTRAFILES=${PROJECT_BINARY_DIR}/instruction-set.txt ${LPW_CCACHE})
  message(STATUS "lpw: ccache is used")
endif()

function(lpw_add_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE lpw::lpw lpw_program_flags)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# (A compiler cache knows what depends on such headers by no more than their time.)
if(LPW_PRECOMPILE AND NOT LPW_CCACHE)
  set(lpw_precompile TRUE)
else()
  set(lpw_precompile FALSE)
endif()

function(lpw_precompile name library)
  if(lpw_precompile)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "")
    add_library(${name} OBJECT ${source})
    target_link_libraries(${name} PRIVATE lpw::lpw lpw_program_flags ${library})
    set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
    target_precompile_headers(${name} PRIVATE ${ARGN})
  endif()
endfunction()

function(lpw_use_precompiled target name)
  if(lpw_precompile)
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()

# Most of a small file's compile time goes to templates that its neighbours need as well. (CMake's own UNITY_BUILD is
# not for CUDA.)
function(lpw_unite variable name size)
  set(result ${ARGN})
  if(LPW_UNITE)
    set(result "")
    set(number 0)
    while(ARGN)
      list(SUBLIST ARGN 0 ${size} part)
      list(REMOVE_ITEM ARGN ${part})
      list(TRANSFORM part REPLACE "(.+)" "#include \"\\1\"\n")
      list(JOIN part "" content)
      math(EXPR number "${number} + 1")
      set(source ${CMAKE_CURRENT_BINARY_DIR}/united/${name}_${number}.cpp)
      file(CONFIGURE OUTPUT ${source} CONTENT "${content}" @ONLY)
      list(APPEND result ${source})
    endwhile()
  endif()
  set(${variable} ${result} PARENT_SCOPE)
endfunction()
