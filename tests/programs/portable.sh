#!/usr/bin/env bash
# LPW_PORTABLE (cmake/LpwPortable.cmake), by which scripts/package.sh builds programs, of one that is small: it is built
# for each level of x86-64 and installed behind the launcher, which starts the level that is asked for, or the best; all
# levels that this processor has compute the same, and others are refused. usage: portable.sh ROOT CXX [FLAGS...]; exits
# with 77 where this is no x86-64 Linux
set -euo pipefail
root=$1 cxx=$2
shift 2
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || { echo "SKIPPED: LPW_PORTABLE is for x86-64 on Linux"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "portable.sh: $*" >&2; exit 1; }

cp -r "$root/tests/programs/portable" "$folder/project"
mkdir "$folder/project/examples"
ln -s "$root/examples/launcher" "$folder/project/examples/launcher"
{
  cmake -S "$folder/project" -B "$folder/build" -DLPW_PORTABLE=ON -DCMAKE_MODULE_PATH="$root/cmake" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="-O1 -I$root/include $*" &&
    CMAKE_BUILD_PARALLEL_LEVEL=1 cmake --build "$folder/build" --target lpw_portable &&
    cmake --install "$folder/build" --component lpw_programs --prefix "$folder/installed"
} >"$folder/log" 2>&1 || { tail -40 "$folder/log"; fail "it does not build"; }

small=$folder/installed/bin/lpw-small
read -r best _ < <(env -u LPW_LEVEL "$small")
expected=""
for level in x86-64-v2 x86-64-v3 x86-64-v4; do
  said=$(LPW_LEVEL=$level "$small" 2>&1) && status=0 || status=$?
  if [[ $level > $best ]]; then
    [ $status = 1 ] && [ "$said" = "lpw-small: LPW_LEVEL=$level: this processor has $best; leave it out" ] ||
      fail "$level exits with $status and says: $said"
    continue
  fi
  sum=${said#"$level "}
  [ $status = 0 ] && [ "$sum" != "$said" ] || fail "$level exits with $status and says: $said"
  expected=${expected:-$sum}
  # A float's exponentials and their sums round by a few 6e-8, as each level's vectors and fused multiply-adds do.
  awk -v a="$sum" -v b="$expected" 'BEGIN { d = a / b - 1; exit !(d <= 1e-6 && d >= -1e-6) }' ||
    fail "$level computes $sum, x86-64-v2 $expected"
  echo "$said"
done
[ -n "$expected" ] || fail "the best level is $best"
