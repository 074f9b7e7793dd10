# Finds oneDNN (dnnl) 2.x or 3.x: target OneDNN::OneDNN, OneDNN_FOUND, OneDNN_VERSION.
# Header and library are searched before oneDNN's own CMake package, because the one that Debian ships stops the whole
# configuration with an error where OpenCL's development files are missing, though nothing here needs them.
find_path(OneDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp HINTS ENV DNNLROOT PATH_SUFFIXES include)
find_library(OneDNN_LIBRARY dnnl HINTS ENV DNNLROOT PATH_SUFFIXES lib)
mark_as_advanced(OneDNN_INCLUDE_DIR OneDNN_LIBRARY)

if(OneDNN_INCLUDE_DIR AND OneDNN_LIBRARY)
  file(STRINGS ${OneDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h _lines
    REGEX "define DNNL_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
  list(TRANSFORM _lines REPLACE "[^0-9]" "")
  list(JOIN _lines "." OneDNN_VERSION)
  unset(_lines)
  if(NOT TARGET OneDNN::OneDNN)
    add_library(OneDNN::OneDNN UNKNOWN IMPORTED)
    set_target_properties(OneDNN::OneDNN PROPERTIES
      IMPORTED_LOCATION ${OneDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${OneDNN_INCLUDE_DIR})
  endif()
  set(_onednn_target OneDNN::OneDNN)
else()
  find_package(dnnl CONFIG QUIET)
  set(OneDNN_VERSION ${dnnl_VERSION})
  foreach(_name DNNL::dnnl dnnl::dnnl)
    if(TARGET ${_name})
      set(_onednn_target ${_name})
      if(NOT TARGET OneDNN::OneDNN)
        add_library(OneDNN::OneDNN INTERFACE IMPORTED)
        target_link_libraries(OneDNN::OneDNN INTERFACE ${_name})
      endif()
    endif()
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OneDNN REQUIRED_VARS _onednn_target VERSION_VAR OneDNN_VERSION)
unset(_onednn_target)
