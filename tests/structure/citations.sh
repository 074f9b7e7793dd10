#!/usr/bin/env bash
# Usage: citations.sh ROOT
# What README.md, CONTRIBUTING.md and docs/*.md cite exists: files in backticks and links, scripts and headers anywhere,
# lpw:: names and LPW_ options. Prints every citation that leads nowhere.
set -euo pipefail
root=${1:?usage: citations.sh ROOT}
cd "$root"
shopt -s nullglob
documents=(README.md CONTRIBUTING.md docs/*.md)
bad=0
missing() {
  echo "$1: cites $2, which does not exist"
  bad=1
}

code() {
  find include kernels examples tests benchmarks -type f \( -name '*.hpp' -o -name '*.cuh' -o -name '*.cpp' \) \
    2>/dev/null || true
}
words=$(code | xargs -r cat | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u || true)
options=$(find . -path ./build -prune -o \
  \( -name '*.cmake' -o -name 'CMakeLists.txt' -o -name '*.sh' -o -name '*.py' -o -name '*.cpp' -o -name '*.hpp' \) \
  -print | xargs grep -ohE '\bLPW_[A-Z0-9_]+' | sort -u || true)

for document in "${documents[@]}"; do
  [ -f "$document" ] || continue
  prose=$(awk '/^ *```/ { fence = !fence; next } !fence' "$document")
  folder=$(dirname "$document")

  # Paths in backticks, outside of code blocks; * may stand for anything.
  while IFS= read -r path; do
    matches=($path)
    [ -e "${matches[0]:-}" ] || missing "$document" "$path"
  done < <(grep -oE '`(include|kernels|scripts|docs|tests|examples|benchmarks|cmake|\.ci)/[A-Za-z0-9_./*-]+' \
    <<<"$prose" | tr -d '`' | sort -u)

  # Relative links, without the place within the page.
  while IFS= read -r link; do
    [ -e "$folder/$link" ] || missing "$document" "$link"
  done < <(grep -oE '\]\([^)]+' <<<"$prose" | cut -c3- | grep -v '://' | sed 's/#.*//; /^$/d' | sort -u)

  # Scripts and headers, in commands and snippets too.
  while IFS= read -r path; do
    [ -e "$path" ] || missing "$document" "$path"
  done < <(grep -oE '\bscripts/[a-z_]+\.(sh|py)' "$document" | sort -u)
  while IFS= read -r header; do
    [ -e "include/$header" ] || [ -e "kernels/$header" ] || missing "$document" "<$header>"
  done < <(grep -oE '\blpw/[a-z0-9_/]+\.(hpp|cuh)' "$document" | sort -u)

  # Names: the last part of lpw::a::b must be a word of the code.
  while IFS= read -r name; do
    grep -qx -- "${name##*::}" <<<"$words" || missing "$document" "$name"
  done < <(grep -oE '\blpw::[A-Za-z_][A-Za-z0-9_:]*' "$document" | sed 's/:*$//' | sort -u)
  while IFS= read -r option; do
    grep -qx -- "$option" <<<"$options" || missing "$document" "$option"
  done < <(grep -oE '\bLPW_[A-Z0-9_]+' "$document" | sort -u)
done
exit $bad
