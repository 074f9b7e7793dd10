#!/usr/bin/env bash
# Two files of one program, compiled for x86-64-v2 and x86-64-v3, share no function of lpw's: the linker would keep
# either's for both. Nor do two, with MPI and without, what they do by it. usage: instruction_sets.sh ROOT CXX
# [FLAGS...]
set -euo pipefail
root=$1
shift
[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: needs an x86-64 machine"; exit 77; }
grep -qw avx2 /proc/cpuinfo || { echo "SKIPPED: this processor lacks AVX2"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
source=$root/tests/structure/instruction_sets.cpp
compile() { "$@" -O0 -I"$root/include" -c; }
compile "$@" "$source" -march=x86-64-v2 -DLPW_TEST_NAME=loss_old -o "$folder/old.o"
compile "$@" "$source" -march=x86-64-v3 -DLPW_TEST_NAME=loss_new -o "$folder/new.o"
"$@" -DLPW_TEST_MAIN "$source" "$folder/old.o" "$folder/new.o" -pthread -ldl -o "$folder/both"
"$folder/both"

# What matches $3 in both files, which have at least $4 such names.
shared() {
  # Names that lie in lpw's namespace; the standard library's own templates are beyond it.
  symbols() { nm --defined-only -C "$folder/$1" | cut -d' ' -f3- | grep 'lpw::' | grep "$2" | sort -u; }
  local both count
  both=$(comm -12 <(symbols "$1" "$3") <(symbols "$2" "$3"))
  [ -z "$both" ] || { printf 'instruction_sets: both files have\n%s\n' "$(head -5 <<<"$both")" >&2; exit 1; }
  count=$(symbols "$1" "$3" | wc -l)
  [ "$count" -ge "$4" ] || { echo "instruction_sets: only $count names of lpw's found" >&2; exit 1; }
  echo "instruction_sets: $count names, none shared"
}
shared old.o new.o . 100

command -v mpicxx >/dev/null || { echo "without MPI there is no program with and without it"; exit 0; }
printf '#include <lpw/distributed/mpi.hpp>\nvoid NAME() { const lpw::distributed::Mpi mpi; }\n' >"$folder/mpi.cpp"
compile "$@" "$folder/mpi.cpp" -DLPW_WITH_MPI=0 -DNAME=one -o "$folder/one.o"
compile mpicxx -std=c++20 "$folder/mpi.cpp" -DLPW_WITH_MPI=1 -DNAME=several -o "$folder/several.o"
shared several.o one.o 'distributed::.*Mpi' 4
