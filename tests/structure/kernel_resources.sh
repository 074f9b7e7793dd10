#!/usr/bin/env bash
# Compiles every kernel for one architecture and fails if any spills registers or uses local memory. Prints each kernel's registers.
# usage: kernel_resources.sh ROOT NVCC ARCHITECTURE
set -euo pipefail
root=$1 nvcc=$2 architecture=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$nvcc" -std=c++20 --expt-relaxed-constexpr "-arch=$architecture" -Werror=all-warnings -Xptxas -v -cubin -I"$root/include" -I"$root/kernels" \
  -o "$folder/kernels.cubin" "$root/tests/structure/kernels.cu" 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
c++filt < "$folder/log" | awk -v architecture="$architecture" '
  /Compiling entry function/ { name = $0; sub(/.*Compiling entry function ./, "", name); sub(/. for .*/, "", name)
                               sub(/^void lpw::kernels::/, "", name); sub(/\(.*/, "", name) }
  /bytes stack frame/ { local_memory = $0 ~ /^ *0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/ ? 0 : 1; text = $0 }
  /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
                            printf "%4d registers  %s\n", registers, name; kernels++
                            if (local_memory) { bad++; printf "     LOCAL MEMORY:%s\n", text } }
  END { printf "%d kernels for %s, %d with spills or local memory\n", kernels, architecture, bad; exit bad > 0 || kernels == 0 }'
