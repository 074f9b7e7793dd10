#!/usr/bin/env bash
# Usage: scripts/format.sh [--check]
# Formats all sources with clang-format 14, or with --check only says which are not formatted (exit 1).
# Exit 77 where clang-format 14 is not there: other versions break lines differently.
set -euo pipefail
unset CDPATH
help=$(sed -n '2,4s/^# //p' <"$0")
cd -- "$(dirname -- "$0")/.."
case ${1:-} in
  -h | --help) printf '%s\n' "$help"; exit 0 ;;
  "" | --check) ;;
  *) echo "scripts/format.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac

formatter=$(command -v clang-format-14 || command -v clang-format || true)
version=$([ -z "$formatter" ] || "$formatter" --version | grep -oE 'version [0-9]+' | cut -d' ' -f2)
if [ "$version" != 14 ]; then
  echo "SKIPPED: clang-format 14 is needed, found: ${version:-none} (Debian: clang-format-14)"
  exit 77
fi

folders=()
for folder in include kernels examples tests benchmarks; do
  [ -d "$folder" ] && folders+=("$folder")
done
mapfile -d '' files < <(find "${folders[@]}" -type f \
  \( -name '*.hpp' -o -name '*.h' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' \) -print0 | sort -z)
# One process formats a copy of all: started for each file it takes seven times as long. What it would not change keeps
# its time, so that nothing is built anew for it.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp --parents .clang-format "${files[@]}" "$copy"
(cd "$copy" && "$formatter" -i "${files[@]}")
bad=0
while read -r file; do
  if [ "${1:-}" = --check ]; then
    echo "$file: not formatted (scripts/format.sh does it)"
    bad=1
  else
    cat "$copy/$file" >"$file"
  fi
done < <(for folder in "${folders[@]}"; do LC_ALL=C diff -rq "$folder" "$copy/$folder" || true; done |
  sed -n 's/^Files \(.*\) and .* differ$/\1/p')
exit $bad
