#!/usr/bin/env bash
# Compiles a program with a compiler and flags that are not the project's own, and unless only the syntax is checked,
# runs it and holds its losses to a reference. Headers warn as in a project of its own, and warnings are errors. usage:
# builds.sh SYNTAX|RUN SOURCE REFERENCE CXX [FLAGS...]; exits with 77 where the compiler, or the library it is to use,
# is missing
set -euo pipefail
what=$1 source=$2 reference=$3 cxx=$4
shift 4
command -v "$cxx" >/dev/null || { echo "SKIPPED: there is no $cxx"; exit 77; }
library=()
for flag in "$@"; do
  case $flag in -stdlib=* | -std=* | -fopenmp) library+=("$flag") ;; esac
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# <version> is a header of C++20's libraries: without it there is no such library, or the compiler does not know the
# standard.
printf '#include <version>\nint main() {}\n' >"$folder/empty.cpp"
"$cxx" ${library[@]+"${library[@]}"} -o "$folder/empty" "$folder/empty.cpp" 2>"$folder/why" ||
  { echo "SKIPPED: $cxx ${library[*]}: $(head -1 "$folder/why")"; exit 77; }
if [ "$what" = SYNTAX ]; then
  "$cxx" "$@" -fsyntax-only "$source"
  exit
fi
"$cxx" -o "$folder/trains" "$source" "$@" -pthread -ldl
"$folder/trains" | tee "$folder/losses"
"$reference" >"$folder/expected"
# Losses are printed to four places; after six steps rounding has moved them by less than one of the last but one.
awk 'NR == FNR { expected[FNR] = $0; next }
  { count = split(expected[FNR], e); if (count != NF || $1 != e[1] || NF < 7) bad = 1
    for (i = 2; i <= NF; ++i) { d = $i - e[i]; if (!(d <= 1e-3 && d >= -1e-3)) bad = 1 } ++lines }
  END { if (bad || lines != 2) { print "the losses are not those of the reference"; exit 1 } }' \
  "$folder/expected" "$folder/losses"
