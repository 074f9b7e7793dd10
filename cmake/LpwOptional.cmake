# Libraries that lpw takes where they are. The installed package runs this file too, so that the using machine decides.
#   lpw_refuse_missing(<option> <found> <what> <package> <elsewhere>)   ends with a message where the option (AUTO, ON,
#   OFF) is ON and nothing was found: Debian's package, and what is to be done on other systems
#   lpw_add_part(<name> <found>)   target lpw::<name>: lpw::lpw, with LPW_WITH_<NAME> as 1 or 0 for what links it
function(lpw_refuse_missing option found what package elsewhere)
  if(${option} STREQUAL "ON" AND NOT found)
    message(FATAL_ERROR "lpw: ${option}=ON, but ${what} was not found. "
      "On Debian and Ubuntu: apt-get install ${package}. "
      "Elsewhere, install it and ${elsewhere}, or set ${option}=AUTO to do without.")
  endif()
endfunction()

function(lpw_add_part name found)
  string(TOUPPER ${name} macro)
  add_library(lpw_${name} INTERFACE)
  add_library(lpw::${name} ALIAS lpw_${name})
  target_link_libraries(lpw_${name} INTERFACE lpw::lpw)
  target_compile_definitions(lpw_${name} INTERFACE LPW_WITH_${macro}=$<BOOL:${found}>)
endfunction()
