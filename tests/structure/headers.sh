#!/usr/bin/env bash
# Every header compiles on its own, and twice in one file. Those of the CUDA backend, which nvcc compiles for the tests
# of the backend, are compiled with the emulator in place of CUDA's headers, or left out where EMULATOR is OFF. usage:
# headers.sh ROOT JOBS EMULATOR CXX [FLAGS...]
set -euo pipefail
root=$1 jobs=$2 emulator=$3
shift 3
flags=("$@" -fsyntax-only -x c++ -I"$root/include" -I"$root/kernels")
check() {
  local header=$1
  shift
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" | "$@" - ||
    { echo "headers: $header does not compile on its own" >&2; return 1; }
}
export -f check

cd "$root/include"
all=$(find lpw -name '*.hpp' | sort)
cuda='^lpw/cuda/|^lpw/data/device_'
grep -vE "$cuda" <<<"$all" | xargs -P "$jobs" -I{} bash -c 'check "$@"' check {} "${flags[@]}"
if [ "$emulator" = ON ]; then
  grep -E "$cuda" <<<"$all" |
    xargs -P "$jobs" -I{} bash -c 'check "$@"' check {} "${flags[@]}" -I"$root/tests/emulator/stand_in" -I"$root/tests"
fi
echo "headers: $(wc -l <<<"$all") compiled"
