#!/usr/bin/env bash
# Usage: machine_paths.sh ROOT
# No file names a place that exists on one machine only. Prints every line that does.
set -euo pipefail
root=${1:?usage: machine_paths.sh ROOT}
cd "$root"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  list() { git ls-files -z --cached --others --exclude-standard; }
else
  list() { find . -type f -not -path './build/*' -print0; }
fi
# A path starts where a word could: "a/home/b" inside a longer relative path is something else.
if list | xargs -0 grep -InE "(^|[^A-Za-z0-9_.-])/(home|root|work|tmp|mnt|Users|scratch)/[A-Za-z0-9_.]" 2>/dev/null; then
  echo "machine paths found (above)"
  exit 1
fi
