#!/usr/bin/env bash
# scripts/package.sh and LPW_PORTABLE (cmake/LpwPortable.cmake), of one program that is small: it is built for each
# level of x86-64 and packed behind the launcher, which starts the level that is asked for, or the best; all levels that
# this processor has compute the same, and others are refused. usage: portable.sh ROOT CXX [FLAGS...]; exits with 77
# where this is no x86-64 Linux
set -euo pipefail
root=$1 cxx=$2
shift 2
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || { echo "SKIPPED: LPW_PORTABLE is for x86-64 on Linux"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "portable.sh: $*" >&2; exit 1; }

cp -r "$root/tests/programs/portable" "$folder/project"
mkdir "$folder/project/examples" "$folder/project/scripts"
cp "$root"/scripts/{common,package}.sh "$folder/project/scripts"
for name in CHANGELOG.md LICENSE cmake examples/launcher; do ln -s "$root/$name" "$folder/project/$name"; done
export CXX=$cxx CXXFLAGS="-O1 -I$root/include $*"
"$folder/project/scripts/package.sh" --out "$folder/packages" >"$folder/log" 2>&1 ||
  { tail -40 "$folder/log"; fail "scripts/package.sh fails"; }
packages=$(cd "$folder/packages" && echo *)
mkdir "$folder/installed"
tar -xzf "$folder/packages/lpw-programs-1.2.3-Linux-x86_64.tar.gz" -C "$folder/installed" || fail "it packs $packages"
if command -v dpkg-deb >/dev/null; then
  deb=$folder/packages/lpw-programs_1.2.3_amd64.deb
  dpkg-deb -x "$deb" "$folder/unpacked" || fail "it packs $packages"
  diff -r "$folder/unpacked/usr" "$folder/installed" || fail "the .tar.gz is not what the .deb is (above)"
  [[ $(dpkg-deb -f "$deb" Description) == *"-march=x86-64-v2, -v3 and -v4, of which each start takes the best"* ]] ||
    fail "the .deb does not say for which levels it is: $(dpkg-deb -f "$deb")"
fi

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
