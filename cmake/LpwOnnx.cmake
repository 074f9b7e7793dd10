# lpw::onnx: lpw::lpw for programs that write networks as ONNX files. The installed package runs this file too.
#   lpw_add_onnx()   follows LPW_ONNX (AUTO, ON, OFF; AUTO if unset) and defines LPW_WITH_ONNX as 1 or 0 for what links
#   it.
# It takes protozero's headers. Without them such a program is compiled all the same, and says so when it is to export.
function(lpw_add_onnx)
  set(found FALSE)
  if(NOT DEFINED LPW_ONNX OR NOT LPW_ONNX STREQUAL "OFF")
    find_path(LPW_PROTOZERO_INCLUDE protozero/pbf_writer.hpp DOC "Folder of protozero/pbf_writer.hpp")
    if(LPW_PROTOZERO_INCLUDE)
      set(found TRUE)
    endif()
  endif()
  if(LPW_ONNX STREQUAL "ON" AND NOT found)
    message(FATAL_ERROR "lpw: LPW_ONNX=ON, but protozero (protozero/pbf_writer.hpp) was not found. "
      "On Debian and Ubuntu: apt-get install libprotozero-dev. "
      "Elsewhere, install it and point CMAKE_PREFIX_PATH at it, or set LPW_ONNX=AUTO to do without.")
  endif()
  add_library(lpw_onnx INTERFACE)
  add_library(lpw::onnx ALIAS lpw_onnx)
  target_link_libraries(lpw_onnx INTERFACE lpw::lpw)
  if(found)
    target_include_directories(lpw_onnx SYSTEM INTERFACE ${LPW_PROTOZERO_INCLUDE})
    target_compile_definitions(lpw_onnx INTERFACE LPW_WITH_ONNX=1)
    message(STATUS "lpw: protozero found: lpw::onnx exports networks to ONNX")
  else()
    target_compile_definitions(lpw_onnx INTERFACE LPW_WITH_ONNX=0)
    message(STATUS "lpw: without protozero (LPW_ONNX=${LPW_ONNX}): programs that link lpw::onnx export nothing to ONNX "
      "(Debian and Ubuntu: libprotozero-dev)")
  endif()
endfunction()
