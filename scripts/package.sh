#!/usr/bin/env bash
# Usage: scripts/package.sh [--march NAME] [--out FOLDER]
# Builds the CPU's programs and makes lpw's packages in FOLDER (default build/packages): lpw-dev, the headers with their
# CMake package and pkg-config's files, and lpw-programs, each as .deb and as .tar.gz. On x86-64 programs are built for
# processors from 2009, 2013 and 2017 on (x86-64-v2, -v3 and -v4), and choose at start; on other machines for the
# compiler's default. NAME is one instruction set that they are for instead, as the compiler's -march calls it.
source "$(dirname -- "$0")/common.sh"
show_help "$@"
out=$PWD/build/packages
march=""
while [ $# -gt 0 ]; do
  case $1 in
    --march | --out) set_option "$@"; shift 2 ;;
    *) die "unknown argument '$1' (see --help)" ;;
  esac
done
generators=TGZ
if command -v dpkg-deb >/dev/null; then
  generators="DEB;TGZ"
  command -v dpkg-shlibdeps >/dev/null ||
    echo "dpkg-shlibdeps is missing (apt-get install dpkg-dev): lpw-programs will not say what it depends on"
fi

build=build/package portable=OFF target=all
if [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] && [ -z "$march" ]; then portable=ON target=lpw_portable; fi
CMAKE_BUILD_PARALLEL_LEVEL=$(build_jobs)
export CMAKE_BUILD_PARALLEL_LEVEL  # of the builds within this one, too
cmake --preset release -B "$build" -DLPW_MARCH="$march" -DLPW_PORTABLE=$portable -DLPW_CUDA=OFF -DLPW_BUILD_TESTS=OFF \
  -DLPW_BUILD_BENCHMARKS=OFF
cmake --build "$build" --target $target
cpack --config "$build/CPackConfig.cmake" -G "$generators" -B "$out"
rm -rf "$out/_CPack_Packages"
ls -l "$out"
