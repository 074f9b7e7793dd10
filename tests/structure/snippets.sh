#!/usr/bin/env bash
# Compiles every complete program in the documentation, as its readers would: each ```cpp block that starts with
# #include. (They are run as well, with those of ```cpp run: pages.sh.) Of ```python the syntax is checked. With clang,
# lpw.hpp is parsed once, for the programs that include it.
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
all='#include <lpw/lpw.hpp>' options=(-fsyntax-only -I"$root/include") precompiled=()
if grep -qw __clang__ <<<"$("$@" -x c++ -dM -E - </dev/null)"; then
  echo "$all" >"$folder/all.hpp"
  "$@" -x c++-header -I"$root/include" -o "$folder/all.pch" "$folder/all.hpp"
  precompiled=(-include-pch "$folder/all.pch")
fi
for snippet in "$folder"/*.cpp; do
  [ -e "$snippet" ] || break
  base=()
  if grep -qxF "$all" "$snippet"; then base=(${precompiled[@]+"${precompiled[@]}"}); fi
  "$@" "${options[@]}" ${base[@]+"${base[@]}"} "$snippet" ||
    { echo "snippets: ${snippet##*/} does not compile" >&2; exit 1; }
  count=$((count + 1))
done
if command -v python3 >/dev/null; then
  find "$root" -path "$root/build" -prune -o -name '*.md' -print0 | xargs -0 python3 -c '
import ast, re, sys
for path in sys.argv[1:]:
    for block in re.findall(r"^```python\n(.*?)^```", open(path, encoding="utf-8").read(), re.M | re.S):
        ast.parse(block, path)'
fi
[ "$count" -gt 0 ] || { echo "snippets: no program found in the documentation" >&2; exit 1; }
echo "snippets: $count programs compiled"
