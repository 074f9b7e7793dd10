#!/usr/bin/env bash
# Usage: scripts/package.sh [--march NAME] [--out FOLDER]
# Builds the CPU's programs and makes lpw's packages in FOLDER (default build/packages): lpw-dev, the headers with their
# CMake package and pkg-config's files, and lpw-programs, each as .deb and as .tar.gz. NAME is the instruction set that
# the programs are for, as the compiler's -march calls it; without it, x86-64-v3 (processors from 2013 on) or, on other
# machines, the compiler's default.
source "$(dirname -- "$0")/common.sh"
show_help "$@"
out=$PWD/build/packages
if [ "$(uname -m)" = x86_64 ]; then march=x86-64-v3; else march=""; fi
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

build=build/package
cmake --preset release -B "$build" -DLPW_MARCH="$march" -DLPW_CUDA=OFF -DLPW_BUILD_TESTS=OFF -DLPW_BUILD_BENCHMARKS=OFF
cmake --build "$build" --parallel "$(build_jobs)"
cpack --config "$build/CPackConfig.cmake" -G "$generators" -B "$out"
rm -rf "$out/_CPack_Packages"
ls -l "$out"
