# oneDNN for the library target. The installed package runs this file too, so that it is the using machine, not the one
# lpw was installed from, that decides: nothing of lpw is compiled before it is used.
#   lpw_use_onednn(<target> [BUILD_INTERFACE])   follows LPW_ONEDNN (AUTO, ON, OFF; AUTO if unset) and defines
#   LPW_WITH_ONEDNN as 1 or 0.
# With BUILD_INTERFACE, what is found does not enter the target's installed form. A target OneDNN::OneDNN, DNNL::dnnl or
# dnnl that the project has already serves.
include(LpwOptional)

function(lpw_use_onednn target)
  set(found FALSE)
  if(NOT DEFINED LPW_ONEDNN OR NOT LPW_ONEDNN STREQUAL "OFF")
    set(library "")
    foreach(name OneDNN::OneDNN DNNL::dnnl dnnl::dnnl dnnl)
      if(NOT library AND TARGET ${name})
        set(library ${name})
        set(where "of this project")
      endif()
    endforeach()
    if(NOT library)
      find_package(OneDNN QUIET)
      if(OneDNN_FOUND)
        set(library OneDNN::OneDNN)
        set(where "${OneDNN_VERSION} found")
      endif()
    endif()
    if(library)
      set(found TRUE)
    endif()
  endif()
  lpw_refuse_missing(LPW_ONEDNN ${found} oneDNN libdnnl-dev "point CMAKE_PREFIX_PATH at it")
  if(found)
    set(libraries ${library})
    # nvcc 13 cannot parse oneDNN's header, and has no use for it
    set(definition LPW_WITH_ONEDNN=$<COMPILE_LANGUAGE:CXX>)
    message(STATUS "lpw: oneDNN ${where}: used for convolutions on the CPU")
  else()
    set(definition LPW_WITH_ONEDNN=0)
    message(STATUS "lpw: without oneDNN (LPW_ONEDNN=${LPW_ONEDNN}): convolutions on the CPU use lpw's own code "
      "and Eigen, which is slower (Debian and Ubuntu: libdnnl-dev)")
  endif()
  if(ARGV1 STREQUAL "BUILD_INTERFACE")
    list(TRANSFORM libraries REPLACE "(.+)" "$<BUILD_INTERFACE:\\1>")
    set(definition $<BUILD_INTERFACE:${definition}>)
  endif()
  target_link_libraries(${target} INTERFACE ${libraries})
  target_compile_definitions(${target} INTERFACE ${definition})
endfunction()
