#!/usr/bin/env bash
# Usage: machine_paths.sh ROOT
# No file names a place that exists on one machine only. Prints every line that does.
set -euo pipefail
root=${1:?usage: machine_paths.sh ROOT}
cd "$root"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  list() { git ls-files -z --cached --others --exclude-standard; }
else
  list() { find . \( -name .git -o -path ./build \) -prune -o -type f -print0; }
fi
# A path starts where a word could: "a/home/b" inside a longer relative path is something else.
# grep's exit status is lost: xargs has one of its own where it runs several, and files may be gone that git still
# lists.
found=$(list |
  xargs -0 grep -InHE "(^|[^A-Za-z0-9_.-])/(home|root|work|tmp|mnt|Users|scratch)/[A-Za-z0-9_.]" 2>/dev/null || true)
if [ -n "$found" ]; then
  printf '%s\nmachine paths found (above)\n' "$found"
  exit 1
fi
