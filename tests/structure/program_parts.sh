#!/usr/bin/env bash
# What trainers share as compiled parts, and takes types of lpw's, is in their files for GPUs once more: nvcc's are
# compiled without oneDNN, by which lpw's types are others, and programs with GPUs would not link.
# usage: program_parts.sh ROOT ARCHIVE
set -euo pipefail
shared=$1/examples/shared
names=$(nm -C "$2" 2>/dev/null | sed -nE 's/^[0-9a-f]+ T example::([A-Za-z_]+)\(.*lpw::.*/\1/p' | sort -u)
[ -n "$names" ] || { echo "program_parts: $2 has no function that takes types of lpw's"; exit 1; }
bad=0
for name in $names; do
  file=$(basename "$(grep -lE "\\b$name\\(" "$shared"/*.cpp)")
  grep -qF "#include \"$file\"" "$shared/cuda_program.hpp" ||
    { echo "program_parts: $name takes types of lpw's: include \"$file\" in cuda_program.hpp"; bad=1; }
done
exit $bad
