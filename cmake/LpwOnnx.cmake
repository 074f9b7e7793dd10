# lpw::onnx: lpw::lpw for programs that write networks as ONNX files. The installed package runs this file too.
#   lpw_add_onnx()   follows LPW_ONNX (AUTO, ON, OFF; AUTO if unset) and defines LPW_WITH_ONNX as 1 or 0 for what links
#   it.
# It takes protozero's headers. Without them such a program is compiled all the same, and says so when it is to export.
include(LpwOptional)

function(lpw_add_onnx)
  set(found FALSE)
  if(NOT DEFINED LPW_ONNX OR NOT LPW_ONNX STREQUAL "OFF")
    find_path(LPW_PROTOZERO_INCLUDE protozero/pbf_writer.hpp DOC "Folder of protozero/pbf_writer.hpp")
    if(LPW_PROTOZERO_INCLUDE)
      set(found TRUE)
    endif()
  endif()
  lpw_refuse_missing(LPW_ONNX ${found} "protozero (protozero/pbf_writer.hpp)" libprotozero-dev
    "point CMAKE_PREFIX_PATH at it")
  lpw_add_part(onnx ${found})
  if(found)
    target_include_directories(lpw_onnx SYSTEM INTERFACE ${LPW_PROTOZERO_INCLUDE})
    message(STATUS "lpw: protozero found: lpw::onnx exports networks to ONNX")
  else()
    message(STATUS "lpw: without protozero (LPW_ONNX=${LPW_ONNX}): programs that link lpw::onnx export nothing to ONNX "
      "(Debian and Ubuntu: libprotozero-dev)")
  endif()
endfunction()
