#!/usr/bin/env bash
# Compiles a program with clang++ and runs it. usage: clang.sh SOURCE FLAGS...; exits with 77 where there is no clang++.
set -euo pipefail
source=$1
shift
command -v clang++ >/dev/null || { echo "SKIPPED: there is no clang++"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
clang++ -o "$folder/program" "$source" "$@" -pthread -ldl
"$folder/program"
