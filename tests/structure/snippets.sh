#!/usr/bin/env bash
# Every complete program in the documentation (each ```cpp block that starts with #include) compiles with those of lpw's
# headers that it includes. Those that include the same are compiled as one file, which parses them once, each in a
# namespace of its own. (That each has the standard library's headers that it needs, standard_headers.py says; they are
# run, with those of ```cpp run, by pages.sh.) Of ```python the syntax is checked.
# usage: snippets.sh ROOT CXX [FLAGS...]
set -euo pipefail
root=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count=0
while IFS= read -r -d '' file; do
  found=$(awk -v folder="$folder" '
    /^```cpp$/ { inside = 1; text = ""; split("", own); owned = 0; first = FNR + 1; next }
    /^```$/ && inside {
      inside = 0
      if (text !~ /^#include/) next
      n++
      group = folder "/"
      for (i = 1; i <= owned; i++) group = group own[i] "+"
      space = FILENAME
      gsub(/[^A-Za-z0-9]/, "_", space)
      program = "namespace in" space "_" n " {\n#line " first " \"" FILENAME "\"\n"
      rest = text
      while (match(rest, /#include[^\n]*\n/)) {
        print substr(rest, RSTART, RLENGTH - 1) >>(group ".includes")
        rest = substr(rest, 1, RSTART - 1) "//\n" substr(rest, RSTART + RLENGTH)
      }
      print program rest "}" >>(group ".programs")
      next
    }
    inside && /^#include <lpw\// { header = $2; gsub(/[^a-z_]/, "_", header); own[++owned] = header }
    inside { text = text $0 "\n" }
    END { print n + 0 }' "$file")
  count=$((count + found))
done < <(find "$root" -path "$root/build" -prune -o -name '*.md' -print0)
for programs in "$folder"/*.programs; do
  [ -e "$programs" ] || break
  { sort -u "${programs%.programs}.includes"; cat "$programs"; } >"$folder/group.cpp"
  # A main in a namespace has to return.
  "$@" -Wno-return-type -fsyntax-only -I"$root/include" "$folder/group.cpp" ||
    { echo "snippets: a program of the documentation does not compile" >&2; exit 1; }
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
