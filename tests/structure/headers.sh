#!/usr/bin/env bash
# Usage: headers.sh ROOT JOBS CXX [FLAGS...]
# Every header under include/ compiles on its own, and twice in one file. Those of the CUDA backend are compiled with
# the emulator in place of CUDA's headers.
# With clang, what comes from elsewhere (the standard library, Eigen, ...) is parsed once, into a precompiled header,
# and on top of it some headers that many others include: a header is compiled on top of what it includes in any case,
# so that no name of lpw's is there which would not be without. Includes of the standard library that a header lacks are
# hidden by it, and found by standard_headers.py. Other compilers parse all anew: g++ loads such a file in half of the
# time that it saves.
set -euo pipefail
root=$(cd -- "$1" && pwd) jobs=$2
shift 2
compiler=("$@" -x c++ -I"$root/include" -I"$root/kernels")
stand_in=(-I"$root/tests/emulator/stand_in" -I"$root/tests" -I"$root/tests/structure/stand_in")
cuda='^lpw/(cuda/|data/device_)'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cd "$root/include"
all=$(find lpw -name '*.hpp' | sort)

# compile HEADER [OPTION...]
compile() {
  local header=$1 options=("${@:2}")
  [[ ! $header =~ $cuda ]] || options+=("${stand_in[@]}")
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" | "${compiler[@]}" "${options[@]}" -
}
precompiled() { echo "$folder/${1//\//_}.pch"; }
precompile=(-x c++-header -Xclang -fpch-instantiate-templates)
# check HEADER BASE: on top of the precompiled header of BASE if there is one, and if that fails without, for clang 14
# crashes over some.
check() {
  local base
  base=$(precompiled "$2")
  if [ -e "$base" ] && compile "$1" -fsyntax-only -include-pch "$base" 2>/dev/null; then return; fi
  compile "$1" -fsyntax-only || { echo "headers: $1 does not compile on its own" >&2; return 1; }
}

# bases HEADER...: "HEADER BASE" for each header, BASE the last of these that it includes, directly or not.
bases() {
  # shellcheck disable=SC2086  # file names here have no spaces
  awk -v shared="$*" '
    match($0, /^[ \t]*#[ \t]*include[ \t]*<lpw\/[^>]+>/) {
      split($0, part, /[<>]/)
      includes[FILENAME] = includes[FILENAME] " " part[2]
    }
    function reach(header,    list, n, i) {
      n = split(includes[header], list, " ")
      for (i = 1; i <= n; ++i)
        if (!(list[i] in reached)) { reached[list[i]] = 1; reach(list[i]) }
    }
    END {
      count = split(shared, order, " ")
      for (k = 1; k < ARGC; ++k) {
        base = "elsewhere"
        split("", reached)
        reach(ARGV[k])
        for (i = 1; i <= count; ++i)
          if (order[i] in reached && order[i] != ARGV[k]) base = order[i]
        print ARGV[k], base
      }
    }' $all
}

shared=()
if grep -qw __clang__ <<<"$("${compiler[@]}" -dM -E - </dev/null)"; then
  # shellcheck disable=SC2086
  grep -hoE '^[ \t]*#[ \t]*include <[^>]+>' $(grep -vE "$cuda" <<<"$all") |
    grep -vE '<(lpw/|sanitizer/|(cu(da|dnn|blas)|nccl))' | sort -u |
    sed -E 's/.*(<.*>)/#if __has_include(\1)\n#include \1\n#endif/' >"$folder/elsewhere.hpp"
  "${compiler[@]}" "${precompile[@]}" -o "$(precompiled elsewhere)" "$folder/elsewhere.hpp"
  # Each of them by itself: clang 14 crashes over some that are made on top of others.
  for header in lpw/{tensor/tensor,cpu/base/row_blocks,cpu/gemm,autograd/tape,nn/flat_weights,late_phase/collapse}.hpp \
    lpw/{train/run,cuda/base/device}.hpp; do
    grep -qx "$header" <<<"$all" || continue
    if compile "$header" "${precompile[@]}" -include-pch "$(precompiled elsewhere)" -o "$(precompiled "$header")" \
      2>/dev/null; then
      shared+=("$header")
    fi
  done
fi

bad=0 running=0
while read -r header base; do
  [ ! -e "$(precompiled "$header")" ] || continue
  if [ "$running" = "$jobs" ]; then
    wait -n || bad=1
    running=$((running - 1))
  fi
  check "$header" "$base" &
  running=$((running + 1))
done < <(bases ${shared[@]+"${shared[@]}"})
while [ "$running" != 0 ]; do
  wait -n || bad=1
  running=$((running - 1))
done
[ $bad = 0 ] || exit 1
echo "headers: $(wc -l <<<"$all") compiled"
