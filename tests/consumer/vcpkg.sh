#!/usr/bin/env bash
# vcpkg's port, by stand-ins for vcpkg's own functions, which this machine need not have: the port configures and
# installs, and what it installs is a package. usage: vcpkg.sh ROOT
set -euo pipefail
port=$1/cmake/vcpkg/lpw
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/run.cmake" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${FOLDER}/build ${arg_OPTIONS}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_install)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${FOLDER}/build --prefix ${CURRENT_PACKAGES_DIR}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(vcpkg_cmake_config_fixup)  # moves the package, as vcpkg's does
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  file(RENAME ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH} ${CURRENT_PACKAGES_DIR}/share/${PORT})
endfunction()
function(vcpkg_fixup_pkgconfig)
endfunction()
function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  configure_file(${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright COPYONLY)
endfunction()
set(PORT lpw)
set(CURRENT_PACKAGES_DIR ${FOLDER}/package)
file(READ ${PORT_FOLDER}/vcpkg.json manifest)
string(JSON name GET "${manifest}" name)
if(NOT name STREQUAL PORT)
  message(FATAL_ERROR "vcpkg.json is of ${name}")
endif()
include(${PORT_FOLDER}/portfile.cmake)
foreach(file include/lpw/lpw.hpp share/lpw/lpwConfig.cmake share/lpw/lpwTargets.cmake share/lpw/usage
    share/lpw/copyright share/pkgconfig/lpw.pc)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/${file})
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
CMAKE
cmake -DFOLDER="$folder" -DPORT_FOLDER="$port" -P "$folder/run.cmake"
