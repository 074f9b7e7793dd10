#!/usr/bin/env bash
# The installed CMake package names the folder of headers that CMAKE_INSTALL_INCLUDEDIR says.
# usage: include_folder.sh ROOT COMPILER
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake -S "$1" -B "$folder/build" -DCMAKE_CXX_COMPILER="$2" -DCMAKE_INSTALL_INCLUDEDIR=headers/here \
  -DLPW_BUILD_TESTS=OFF -DLPW_BUILD_EXAMPLES=OFF -DLPW_BUILD_BENCHMARKS=OFF -DLPW_INSTALL=ON >"$folder/log" 2>&1 &&
  cmake --install "$folder/build" --prefix "$folder/installed" >>"$folder/log" 2>&1 ||
  { tail -20 "$folder/log"; exit 1; }
test -f "$folder/installed/headers/here/lpw/lpw.hpp"
grep -F '${_IMPORT_PREFIX}/headers/here' "$folder/installed/share/cmake/lpw/lpwTargets.cmake"
grep -F '/headers/here' "$folder/installed/share/pkgconfig/lpw.pc"
