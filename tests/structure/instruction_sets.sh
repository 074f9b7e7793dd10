#!/usr/bin/env bash
# Two files of one program, compiled for x86-64-v2 and x86-64-v3, share no function of lpw's, nor one that lpw makes of
# Eigen's templates: the linker would keep either's for both. Nor do two, with MPI and without, what they do by it.
# usage: instruction_sets.sh ROOT CXX [FLAGS...]
# The standard library's templates of its own types are shared, as by any two such files of a C++ program, and cannot
# be given other names.
set -euo pipefail
root=$1
shift
[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: needs an x86-64 machine"; exit 77; }
grep -qw avx2 /proc/cpuinfo || { echo "SKIPPED: this processor lacks AVX2"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
source=$root/tests/structure/instruction_sets.cpp
compile() { "$1" -O0 -I"$root/include" -c "${@:2}"; }
compile "$@" "$source" -march=x86-64-v2 -DLPW_TEST_NAME=loss_old -o "$folder/old.o"
compile "$@" "$source" -march=x86-64-v3 -DLPW_TEST_NAME=loss_new -o "$folder/new.o"
"$@" -DLPW_TEST_MAIN "$source" "$folder/old.o" "$folder/new.o" -pthread -ldl -o "$folder/both"
"$folder/both"

# The standard library's, the compiler's own, and what is not code.
std='(std|__gnu_cxx|__cxxabiv1)::' template='([a-z ]+|decltype[(]auto[)]) '
beyond="^(($template)?$std|(vtable|typeinfo|typeinfo name|VTT|guard variable|construction vtable) for "
beyond+="|DW\\.ref\\.|__clang_call_terminate|operator (new|delete))"
# What matches $3 in both files, which have at least $4 such names.
shared() {
  # All that the linker takes one of, whosever name it has.
  symbols() {
    nm --defined-only -C "$folder/$1" | grep -E '^[0-9a-f]+ [VWu] ' | cut -d' ' -f3- |
      grep -vE "$beyond" | grep "$2" | sort -u
  }
  local both count
  both=$(comm -12 <(symbols "$1" "$3") <(symbols "$2" "$3"))
  [ -z "$both" ] || { printf 'instruction_sets: both files have\n%s\n' "$(head -5 <<<"$both")" >&2; exit 1; }
  count=$(symbols "$1" "$3" | wc -l)
  [ "$count" -ge "$4" ] || { echo "instruction_sets: only $count names of lpw's found" >&2; exit 1; }
  echo "instruction_sets: $count names, none shared"
}
shared old.o new.o lpw:: 100

# Optimised, as products are: without, each of Eigen's inline functions is one, under its own name.
compile "$@" -DLPW_TEST_PRODUCTS "$source" -O2 -march=x86-64-v2 -o "$folder/old_products.o"
compile "$@" -DLPW_TEST_PRODUCTS "$source" -O2 -march=x86-64-v3 -o "$folder/new_products.o"
shared old_products.o new_products.o . 2  # by GCC the two that are asked for, the rest inlined

command -v mpicxx >/dev/null || { echo "without MPI there is no program with and without it"; exit 0; }
printf '#include <lpw/distributed/mpi.hpp>\nvoid NAME() { const lpw::distributed::Mpi mpi; }\n' >"$folder/mpi.cpp"
compile "$@" "$folder/mpi.cpp" -DLPW_WITH_MPI=0 -DNAME=one -o "$folder/one.o"
compile mpicxx -std=c++20 "$folder/mpi.cpp" -DLPW_WITH_MPI=1 -DNAME=several -o "$folder/several.o"
shared several.o one.o 'distributed::.*Mpi' 4
