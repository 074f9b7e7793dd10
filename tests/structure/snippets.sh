#!/usr/bin/env bash
# Compiles every complete program in the documentation: each ```cpp block that starts with #include.
# usage: snippets.sh ROOT CXX [FLAGS...]
set -euo pipefail
root=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count=0
while IFS= read -r -d '' file; do
  awk -v prefix="$folder/$(echo "${file#"$root"/}" | tr '/.' '__')" '
    /^```cpp$/ { inside = 1; text = ""; next }
    /^```$/ && inside { inside = 0; if (text ~ /^#include/) { n++; print text > (prefix "-" n ".cpp") }; next }
    inside { text = text $0 "\n" }' "$file"
done < <(find "$root" -path "$root/build" -prune -o -name '*.md' -print0)
for snippet in "$folder"/*.cpp; do
  [ -e "$snippet" ] || break
  "$@" -fsyntax-only -I"$root/include" "$snippet" || { echo "snippets: ${snippet##*/} does not compile" >&2; exit 1; }
  count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "snippets: no program found in the documentation" >&2; exit 1; }
echo "snippets: $count programs compiled"
