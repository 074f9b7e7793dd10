#!/usr/bin/env bash
# Usage: scripts/collect_deps.sh FOLDER
# Copies what building lpw needs besides compilers and CUDA (Eigen, nlohmann-json, CLI11, toml++, protozero, Catch2,
# Google Benchmark) from this machine's Debian or Ubuntu packages to FOLDER, for a machine of the same architecture that
# has no such packages and no network: take FOLDER there and give it to scripts/gpu_check.sh as LPW_DEPS_DIR, or to
# CMake in CMAKE_PREFIX_PATH. Checks that CMake finds everything there and that it is under 30 MB. Google Benchmark is
# compiled and needs a C library and libstdc++ of a certain age, which is printed; without it here or there everything
# but the benchmarks works.
source "$(dirname -- "$0")/common.sh"
show_help "$@"
[ $# = 1 ] || die "expected one argument, the folder to fill (see --help)"
folder=$(absolute "$1")
packages=(libeigen3-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libprotozero-dev catch2)
benchmark=libbenchmark-dev
most_megabytes=30

command -v dpkg-query >/dev/null || die "this is not Debian or Ubuntu: there is no dpkg-query"
dpkg-query -L "${packages[@]}" >/dev/null 2>&1 || die "packages are missing: apt-get install ${packages[*]} $benchmark"
if ! dpkg-query -L "$benchmark" >/dev/null 2>&1; then
  echo "$benchmark is not installed: the benchmarks will be left out"
  benchmark=""
fi

own_folder "$folder"
rm -rf "$folder"
own_folder "$folder"

# CMake packages name their files relative to their own place, so what lies under /usr keeps its layout; documentation
# is left behind. Links become files: only the library's own name is needed of its links. Of toml++ the headers are
# enough.
for package in "${packages[@]}" $benchmark; do
  dpkg-query -L "$package" | grep -E '^/usr/(include|lib|share)/' |
    grep -vE '^/usr/share/(doc|man|lintian|bug)/|/pkgconfig/|/lib/.*tomlplusplus|unsupported|\.gz$' |
    while IFS= read -r file; do
      [ -f "$file" ] || continue
      install -D -m 644 "$(readlink -f "$file")" "$folder/${file#/usr/}"
    done
done

# Debian's Google Benchmark is a shared library, in a folder named after the architecture, which CMake searches on
# Debian and Ubuntu only: it moves one folder up, with a package description of its own. Fails where it is not as
# expected.
move_benchmark() {
  local libraries name version prefix
  shopt -s nullglob
  libraries=("$folder"/lib/*/libbenchmark.so)
  [ ${#libraries[@]} = 1 ] && [ -f "${libraries[0]%.so}_main.a" ] || return 1
  name=$(objdump -p "${libraries[0]}" | awk '$1 == "SONAME" { print $2 }')
  version=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)").*/\1/p' \
    "$folder"/lib/*/cmake/benchmark/benchmarkConfigVersion.cmake)
  mv "${libraries[0]}" "$folder/lib/$name"
  mv "${libraries[0]%.so}_main.a" "$folder/lib/"
  rm -r "$(dirname "${libraries[0]}")"
  describe_benchmark "$name" "$version"
  for prefix in GLIBC GLIBCXX; do
    objdump -T "$folder/lib/$name" | grep -oE "\b${prefix}_[0-9.]+" | sort -uV | tail -1
  done | paste -sd ' ' | sed 's/^/Google Benchmark needs /'
}

describe_benchmark() {  # describe_benchmark NAME VERSION: of the shared library
  mkdir -p "$folder/lib/cmake/benchmark"
  cat >"$folder/lib/cmake/benchmark/benchmarkConfig.cmake" <<CMAKE
set(benchmark_VERSION $2)
get_filename_component(_prefix "\${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_package(Threads REQUIRED)
if(NOT TARGET benchmark::benchmark)
  add_library(benchmark::benchmark SHARED IMPORTED)
  set_target_properties(benchmark::benchmark PROPERTIES IMPORTED_LOCATION \${_prefix}/lib/$1
    INTERFACE_INCLUDE_DIRECTORIES \${_prefix}/include INTERFACE_LINK_LIBRARIES Threads::Threads)
  add_library(benchmark::benchmark_main STATIC IMPORTED)
  set_target_properties(benchmark::benchmark_main PROPERTIES IMPORTED_LOCATION \${_prefix}/lib/libbenchmark_main.a
    INTERFACE_LINK_LIBRARIES benchmark::benchmark)
endif()
unset(_prefix)
CMAKE
}
if [ -n "$benchmark" ] && ! move_benchmark; then
  echo "$benchmark is not laid out as expected: the benchmarks will be left out"
  rm -rf "$folder/include/benchmark" "$folder"/lib/*/libbenchmark* "$folder"/lib/*/cmake/benchmark
  benchmark=""
fi

say "Check"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(check LANGUAGES CXX)
find_package(Eigen3 REQUIRED NO_MODULE)
foreach(package nlohmann_json CLI11 Catch2 ${BENCHMARK})
  find_package(${package} REQUIRED)
endforeach()
find_path(toml++_DIR toml++/toml.h REQUIRED)
find_path(protozero_DIR protozero/pbf_writer.hpp REQUIRED)
foreach(package Eigen3 nlohmann_json CLI11 toml++ protozero Catch2 ${BENCHMARK})
  cmake_path(IS_PREFIX DEPS "${${package}_DIR}" NORMALIZE is_there)
  if(NOT is_there)
    message(FATAL_ERROR "${package} was found in ${${package}_DIR}, not in ${DEPS}")
  endif()
  message(STATUS "${package} ${${package}_VERSION}")
endforeach()
add_executable(check check.cpp)
target_link_libraries(check Eigen3::Eigen nlohmann_json::nlohmann_json CLI11::CLI11 Catch2::Catch2)
target_include_directories(check PRIVATE ${toml++_DIR} ${protozero_DIR})
if(BENCHMARK)
  target_link_libraries(check benchmark::benchmark_main)
  target_compile_definitions(check PRIVATE BENCHMARK_IS_LINKED)
endif()
CMAKE
cat >"$work/check.cpp" <<'CPP'
#include <CLI/CLI.hpp>
#include <Eigen/Core>
#include <nlohmann/json.hpp>
#include <protozero/pbf_writer.hpp>
#include <toml++/toml.h>
#ifdef BENCHMARK_IS_LINKED
#include <benchmark/benchmark.h>
static void product(benchmark::State& state) {
  Eigen::Matrix4f a = Eigen::Matrix4f::Random();
  for (auto _ : state) benchmark::DoNotOptimize(a = a * a);
}
BENCHMARK(product)->Iterations(1);
#else
int main() { return Eigen::Matrix4f::Zero()(0, 0) != 0; }
#endif
CPP
cmake -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$folder" -DDEPS="$folder" -DBENCHMARK="${benchmark:+benchmark}" |
  grep -E '^-- (Eigen3|nlohmann_json|CLI11|toml\+\+|protozero|Catch2|benchmark) ' ||
  die "CMake does not find everything in $folder"
if ! { cmake --build "$work/build" && "$work/build/check"; } >"$work/log" 2>&1; then
  cat "$work/log"
  die "a program with these does not work"
fi

kilobytes=$(du -sk "$folder" | cut -f1)
[ "$kilobytes" -lt $((most_megabytes * 1024)) ] ||
  die "$folder takes $((kilobytes / 1024)) MB, expected less than $most_megabytes MB"
echo "$folder: $((kilobytes / 1024)) MB in $(find "$folder" -type f | wc -l) files"
