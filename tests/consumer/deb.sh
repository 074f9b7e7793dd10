#!/usr/bin/env bash
# The packages of a build: cpack makes them, they are unpacked elsewhere, hold what they should and what cmake --install
# installs, and serve pkg-config and find_package with their components; their programs run. The .tar.gz of the headers
# holds the same as their .deb, and serves pkg-config where it was unpacked.
# usage: deb.sh BUILD INSTALLED CXX; exits with 77 where this is not Debian
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd)
build=$1 installed=$2 cxx=$3
for tool in cpack dpkg-deb pkg-config; do
  command -v $tool >/dev/null || { echo "SKIPPED: there is no $tool"; exit 77; }
done
fail() { echo "deb.sh: $*" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say() { grep -E "^$2: $3" <(dpkg-deb -f "$1") >/dev/null || fail "$1 does not say '$2: $3': $(dpkg-deb -f "$1")"; }

# Uncompressed, and with its symbols: packing takes long otherwise.
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$folder" -D CPACK_DEBIAN_COMPRESSION_TYPE=none \
  -D CPACK_STRIP_FILES=OFF >"$folder/log" 2>&1 || { cat "$folder/log"; fail "cpack fails"; }
dev=$(echo "$folder"/lpw-dev_*_all.deb) programs=$(echo "$folder"/lpw-programs_*.deb)
say "$dev" Version "[0-9.]+$"
say "$dev" Depends 'libeigen3-dev .*, nlohmann-json3-dev '
say "$dev" Suggests 'libopenmpi-dev '
say "$programs" Description 'Neural networks with late-phase weights'
if command -v dpkg-shlibdeps >/dev/null; then say "$programs" Depends '.*libc6 .*libstdc\+\+6'; fi
for package in "$dev" "$programs"; do dpkg-deb -x "$package" "$folder/root"; done
prefix=$folder/root/usr

files() { (cd "$1" && find . -type f ! -path './bin/*' ! -path './share/lpw/*' ! -path './share/doc/*' | sort); }
diff <(files "$installed") <(files "$prefix") || fail "lpw-dev and cmake --install differ in their files (above)"
for file in share/doc/lpw-dev/copyright share/doc/lpw-dev/CHANGELOG.md share/doc/lpw-programs/copyright; do
  [ -f "$prefix/$file" ] || fail "$file is missing"
done

# (That of the programs would take seconds to pack.)
cpack --config "$build/CPackConfig.cmake" -G TGZ -B "$folder" -D CPACK_COMPONENTS_ALL=lpw_headers >"$folder/log" 2>&1 ||
  { cat "$folder/log"; fail "cpack fails"; }
mkdir "$folder/moved here"
tar -xzf "$(echo "$folder"/lpw-dev-*.tar.gz)" -C "$folder/moved here"
dpkg-deb -x "$dev" "$folder/dev"
diff -r "$folder/dev/usr" "$folder/moved here" || fail "the .tar.gz of lpw-dev is not what its .deb is (above)"
flags=$(PKG_CONFIG_PATH="$folder/moved here/share/pkgconfig" pkg-config --cflags lpw)
[[ $flags == *"moved\\ here"* ]] || fail "pkg-config does not find the headers of the .tar.gz where it is: $flags"

# Programs, with a file of options that comes with them.
for name in cifar enwik8 evaluate noisy_quadratic; do
  "$prefix/bin/lpw-$name" --help >/dev/null || fail "lpw-$name does not run"
done
"$prefix/bin/lpw-cifar" --config "$prefix/share/lpw/configs/cifar10-wrn-28-10-late-phase.toml" --data synthetic \
  --model wrn-10-1 --dry-run >/dev/null || fail "lpw-cifar does not read its file of options"

# pkg-config.
export PKG_CONFIG_PATH=$prefix/share/pkgconfig
version=$(pkg-config --modversion lpw)
pkg-config --exists --print-errors lpw
say "$dev" Version "$version$"
[ "$(pkg-config --modversion lpw-onednn)" = "$version" ] || fail "lpw-onednn is of another version than lpw"
[[ $(pkg-config --cflags --libs lpw-onednn) == *-DLPW_WITH_ONEDNN=1*-ldnnl* ]] || fail "lpw-onednn is without oneDNN"
read -ra flags < <(pkg-config --cflags --libs lpw)
"$cxx" -std=c++20 -O0 "$here/smallest.cpp" -o "$folder/smallest" "${flags[@]}"
[ "$("$folder/smallest")" = "$version" ] || fail "the headers are of another version than $version"

# find_package, with its components.
mkdir "$folder/project"
cat >"$folder/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(components LANGUAGES CXX)
find_package(lpw 0.1 QUIET COMPONENTS headers gone)
if(lpw_FOUND)
  message(FATAL_ERROR "a component 'gone' is found")
endif()
find_package(lpw 0.1 REQUIRED COMPONENTS headers compiled programs)
get_target_property(program lpw::cifar IMPORTED_LOCATION)
execute_process(COMMAND ${program} --help OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
if(TARGET lpw::mpi OR MPI_CXX_COMPILER)
  message(FATAL_ERROR "MPI is looked for, though the component mpi is not asked for")
endif()
find_package(lpw 0.1 REQUIRED COMPONENTS mpi)
if(NOT TARGET lpw::mpi)
  message(FATAL_ERROR "the component mpi has no lpw::mpi")
endif()
if(NOT TARGET lpw::lpw OR NOT TARGET lpw::compiled OR NOT lpw_VERSION VERSION_EQUAL EXPECTED)
  message(FATAL_ERROR "the package is not what it says: ${lpw_VERSION}, not ${EXPECTED}")
endif()
find_package(lpw 0.2 QUIET)
if(lpw_FOUND)
  message(FATAL_ERROR "${lpw_VERSION} is taken for 0.2")
endif()
CMAKE
cmake -S "$folder/project" -B "$folder/project/build" -DCMAKE_CXX_COMPILER="$cxx" -Dlpw_ROOT="$prefix" \
  -DEXPECTED="$version" >"$folder/log" 2>&1 || { cat "$folder/log"; fail "find_package fails"; }
