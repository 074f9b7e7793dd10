#!/usr/bin/env bash
# Every block of ```cmake in the documents configures as a project that uses the installed package: all of CXX as one
# project, each in a folder of its own, and each that says its own project(), of CUDA, by itself. A program that the
# block does not add is added before it. usage: documents.sh ROOT INSTALLED CXX [CUDA's compiler]
set -euo pipefail
root=$1 installed=$2 cxx=$3 cuda=${4:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
head='cmake_minimum_required(VERSION 3.25)'

awk -v folder="$folder" -v head="$head" '
  /^```cmake$/ { inside = 1; text = ""; place = FILENAME ":" FNR; next }
  /^```$/ && inside {
    inside = 0
    own = text ~ /(^|\n)project\(/
    name = folder "/" (own ? "own" : "part") "-" (own ? ++owns : ++parts)
    system("mkdir " name)
    print place >(name "/place")
    if (match(text, /target_link_libraries\([a-z_]+/)) program = substr(text, RSTART + 22, RLENGTH - 22)
    if (text !~ /add_executable\(/) text = "add_executable(" program " " program ".cpp)\n" text
    rest = text
    while (match(rest, /[a-z_]+\.(cpp|cu)/)) {  # which need only be there
      print "int main() {}" >(name "/" substr(rest, RSTART, RLENGTH))
      rest = substr(rest, RSTART + RLENGTH)
    }
    printf "%s", (own ? head "\n" : "") text >(name "/CMakeLists.txt")
    close(name "/CMakeLists.txt")
    next
  }
  inside { text = text $0 "\n" }
' "$root"/README.md "$root"/CONTRIBUTING.md "$root"/docs/*.md

configure() {  # configure FOLDER OPTION...
  cmake -S "$1" -B "$1/build" -DCMAKE_CXX_COMPILER="$cxx" -Dlpw_ROOT="$installed" "${@:2}" >"$folder/log" 2>&1 ||
    { cat "$folder/log" "$folder"/*/place; echo "documents.sh: a block of these does not configure" >&2; exit 1; }
}
{
  printf '%s\n' "$head" 'project(documents LANGUAGES CXX)'
  for part in "$folder"/part-*; do printf 'add_subdirectory(%s)\n' "${part##*/}"; done
} >"$folder/CMakeLists.txt"
configure "$folder"
count=$(find "$folder" -maxdepth 1 -name 'part-*' | wc -l)
[ "$count" -ge 2 ] || { echo "documents.sh: only $count blocks found" >&2; exit 1; }
for own in "$folder"/own-*; do
  [ -e "$own" ] || break
  [ -n "$cuda" ] || { echo "documents.sh: $(cat "$own/place") is left out, for want of CUDA"; continue; }
  configure "$own" -DCMAKE_CUDA_COMPILER="$cuda"
  count=$((count + 1))
done
echo "documents.sh: $count blocks configured"
