#!/usr/bin/env bash
# Usage: comparisons.sh ROOT
# No comparison in tests/ and benchmarks/ drops NaN: std::max(worst, std::abs(a - b)), std::fmax, `if (difference >
# worst) worst = difference` and `if (std::abs(a - b) > tolerance)` take NaN for no difference.
# tests/support/compare.hpp has comparisons that do not; where one is written out, it is !(difference <= worst). Prints
# every place. A statement may be broken over two lines.
set -euo pipefail
root=${1:?usage: comparisons.sh ROOT}
cd "$root"
folders=()
for folder in tests benchmarks; do
  [ -d "$folder" ] && folders+=("$folder")
done
[ ${#folders[@]} -gt 0 ] || exit 0

find "${folders[@]}" -type f \( -name '*.hpp' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' \) -print |
  sort | xargs -r awk '
  BEGIN {
    name = "[A-Za-z_]*([Ww]orst|[Ee]rror|[Dd]ifference|[Dd]istance|[Dd]eviation)[A-Za-z_]*"
    inside = "([^;()]*\\([^;()]*\\))*[^;()]*"              # of a call, calls in it included
    magnitude = "([A-Za-z_:<>]*\\()*(std::)?f?abs[fl]?\\("  # perhaps converted
    # A maximum of a variable and a magnitude, in either order (of a number and a magnitude it is a scale).
    maximum = "(std::|[^A-Za-z_:])(max|fmax[fl]?)(<[^<>;]*>)?\\("
    pattern[1] = maximum "\\{?[^0-9);(]" inside "[ ({,]" magnitude
    pattern[2] = maximum "\\{?" magnitude inside "(\\([^;]*)?\\)[^;]*, *[A-Za-z_]"
    pattern[3] = name " = (std::)?f?max(<[^<>;]*>)?\\("
    pattern[4] = name " = [^=!;]* [<>]=? [^;]*\\?"
    # What is counted or fails if a difference is larger than a tolerance.
    pattern[5] = "(if \\(|\\+= |&& |\\|\\| )(std::)?f?abs[fl]?\\([^;]* - [^;]*\\)[^;=!?]* >=? "
    patterns = 5
  }
  # if (difference > worst) worst = difference: a worst value that is replaced if another is larger.
  function replaces_worst(text,    condition, worst) {
    if (!match(text, "if \\([^!;]* [<>]=? [^!;]*\\) *\\{? *" name " = ")) return 0
    condition = worst = substr(text, RSTART, RLENGTH - 3)
    sub(/.*[^A-Za-z_]/, "", worst)
    sub(/\) *\{? *[A-Za-z_]*$/, ")", condition)
    return condition ~ ("[<>]=? " worst "[^A-Za-z_(]") || condition ~ ("[^A-Za-z_]" worst " [<>]")
  }
  function drops_nan(text,    i) {
    for (i = 1; i <= patterns; ++i)
      if (text ~ pattern[i]) return 1
    return replaces_worst(text)
  }
  FNR == 1 { before = "" }
  {
    line = $0
    sub(/\/\/.*/, "", line)
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    sub(/^[ \t]+/, "", line)
    if (drops_nan(line) || (drops_nan(before " " line) && !drops_nan(before))) {
      printf "%s:%d: drops NaN (see tests/structure/comparisons.sh): %s\n", FILENAME, FNR, line
      bad = 1
    }
    before = line
  }
  END { exit bad }'
