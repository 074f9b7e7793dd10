# lpw::compiled: a static library of what most programs instantiate, and lpw::lpw with it. A program that links it
# compiles in a fraction of the time; it is built the first time that one does. The installed package runs this file too
# and brings the sources.
#   lpw_add_compiled(<folder of the sources> [<type>...])   for float, and for the further types
# LPW_COMPILED_OPTIONS, such as -march=x86-64-v3, are the library's and of all that link it: both must be for the same
# instructions.
include(CheckCXXCompilerFlag)

function(lpw_add_compiled sources)
  if(NOT DEFINED LPW_COMPILED_OPTIONS)
    set(native "")
    check_cxx_compiler_flag(-march=native LPW_HAVE_MARCH_NATIVE)
    check_cxx_compiler_flag(-mcpu=native LPW_HAVE_MCPU_NATIVE)
    if(LPW_HAVE_MARCH_NATIVE)
      set(native -march=native)
    elseif(LPW_HAVE_MCPU_NATIVE)
      set(native -mcpu=native)
    endif()
    set(LPW_COMPILED_OPTIONS "${native}" CACHE STRING
      "Compile options of lpw::compiled and of the programs that link it")
  endif()
  file(GLOB files CONFIGURE_DEPENDS ${sources}/*.cpp)
  foreach(source ${files})
    if(source MATCHES "(convolution|operations|primitives)_float.cpp$")
      file(READ ${source} text)
      foreach(type ${ARGN})
        string(REGEX REPLACE "(LPW_T |<)float" "\\1lpw::${type}" other "${text}")
        string(REPLACE lpw::double double other "${other}")
        get_filename_component(name ${source} NAME)
        string(REPLACE _float.cpp _${type}.cpp name ${name})
        file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/compiled/${name} CONTENT "${other}" @ONLY)
        list(APPEND files ${PROJECT_BINARY_DIR}/compiled/${name})
      endforeach()
    endif()
  endforeach()
  if(LPW_COMPILED_EXCEPT)
    list(FILTER files EXCLUDE REGEX "${LPW_COMPILED_EXCEPT}")
  endif()
  add_library(lpw_compiled STATIC EXCLUDE_FROM_ALL ${files})
  add_library(lpw::compiled ALIAS lpw_compiled)
  set(level 1)
  if(ARGN)
    set(level 2)
  endif()
  target_link_libraries(lpw_compiled PUBLIC lpw::lpw)
  target_compile_definitions(lpw_compiled PUBLIC "LPW_COMPILED=$<IF:$<COMPILE_LANGUAGE:CXX>,${level},0>")
  target_compile_options(lpw_compiled PUBLIC "$<$<COMPILE_LANGUAGE:CXX>:${LPW_COMPILED_OPTIONS}>")
  set_target_properties(lpw_compiled PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()

# Programs that are built without optimisation, to debug them, get an optimised library all the same.
function(lpw_optimise_compiled)
  target_compile_options(lpw_compiled PRIVATE $<$<OR:$<CONFIG:Debug>,$<CONFIG:>>:-O3>)
endfunction()
