#!/usr/bin/env bash
# Usage: include_direction.sh ROOT
# A file under include/lpw/<folder> includes lpw headers of its own folder and of folders earlier in the list below
# only, and lpw/version.hpp; cpu and cuda do not know each other. Within a backend, base and plans include only each
# other. Files under kernels/ see two headers of the ground, the primitives' functions by name, and each other. Prints
# every violation.
set -euo pipefail
root=${1:?usage: include_direction.sh ROOT}
cd "$root"

files=$(find include kernels -type f \( -name '*.hpp' -o -name '*.cuh' \) 2>/dev/null | sort || true)
[ -n "$files" ] || { echo "no headers found under $root"; exit 1; }

# shellcheck disable=SC2086  # file names here have no spaces
awk '
  BEGIN {
    folders = "tensor primitives cpu cuda autograd nn models late_phase optim data distributed metrics io train"
    count = split(folders, order, " ")
    for (i = 1; i <= count; ++i) rank[order[i]] = i
  }
  # Whether a header lies in the lowest rooms of its folder; first: where the folder stands in its path.
  function low(step, first) { return step[first + 1] ~ /^(base|plans)$/ }
  function violation(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; ++bad }
  FNR == 1 {
    kernel = FILENAME ~ /^kernels\//
    split(FILENAME, part, "/")
    folder = kernel ? "kernels" : part[3]                 # include/lpw/<folder>/...
    umbrella = !kernel && FILENAME ~ /^include\/lpw\/[^\/]+$/
    if (!kernel && !umbrella && !(folder in rank)) violation("folder " folder " has no place in the order of folders")
  }
  !/^[ \t]*#[ \t]*include/ { next }
  /#[ \t]*include[ \t]*"/ { violation("write lpw includes as <lpw/...>: " $0); next }
  match($0, /<lpw\/[^>]+>/) {
    header = substr($0, RSTART + 1, RLENGTH - 2)
    split(header, step, "/")
    to = step[2]
    if (umbrella || header == "lpw/version.hpp") next
    if (kernel) {
      if (to != "kernels" && header !~ /^lpw\/(tensor\/(dtype|philox)|primitives\/function)\.hpp$/)
        violation("kernels may include lpw/tensor/dtype.hpp, lpw/tensor/philox.hpp, lpw/primitives/function.hpp " \
                  "and kernels, not " header)
    } else if (to == "kernels") {
      if (folder != "cuda") violation("only cuda includes kernels: " header)
    } else if (!(to in rank)) {
      violation("only files directly under include/lpw may include " header)
    } else if (rank[to] > rank[folder] || (folder == "cuda" && to == "cpu")) {
      violation(folder " may not include " header)
    } else if (to == folder && folder ~ /^(cpu|cuda)$/ && low(part, 3) && !low(step, 2)) {
      violation(folder "/" part[4] " may not include " header ", which lies above it")
    }
  }
  END { exit bad > 0 }
' $files
