#!/usr/bin/env bash
# Two files of one program, compiled for x86-64-v2 and x86-64-v3, share no function of lpw's: the linker would keep
# either's for both. usage: instruction_sets.sh ROOT CXX [FLAGS...]
set -euo pipefail
root=$1
shift
[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: needs an x86-64 machine"; exit 77; }
grep -qw avx2 /proc/cpuinfo || { echo "SKIPPED: this processor lacks AVX2"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
source=$root/tests/structure/instruction_sets.cpp
compile() { "$@" -O0 -I"$root/include" -c "$source"; }
compile "$@" -march=x86-64-v2 -DLPW_TEST_NAME=loss_old -o "$folder/old.o"
compile "$@" -march=x86-64-v3 -DLPW_TEST_NAME=loss_new -o "$folder/new.o"
"$@" -DLPW_TEST_MAIN "$source" "$folder/old.o" "$folder/new.o" -pthread -ldl -o "$folder/both"
"$folder/both"

# Names that lie in lpw's namespace; the standard library's own templates are beyond it.
symbols() { nm --defined-only -C "$1" | cut -d' ' -f3- | grep 'lpw::' | sort -u; }
shared=$(comm -12 <(symbols "$folder/old.o") <(symbols "$folder/new.o"))
[ -z "$shared" ] || { printf 'instruction_sets: both files have\n%s\n' "$(head -5 <<<"$shared")" >&2; exit 1; }
count=$(symbols "$folder/old.o" | wc -l)
[ "$count" -gt 100 ] || { echo "instruction_sets: only $count names of lpw's found" >&2; exit 1; }
echo "instruction_sets: $count names, none shared"
