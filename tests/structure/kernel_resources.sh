#!/usr/bin/env bash
# Compiles every kernel for one architecture and fails if any spills registers or uses local memory. Prints of each
# kernel its registers, its static shared memory, and the share of a multiprocessor's 2048 threads that its registers
# leave room for in blocks of 256. (Dynamic shared memory is the launch plan's, and chosen so that as many blocks fit.)
# usage: kernel_resources.sh ROOT NVCC ARCHITECTURE
set -euo pipefail
root=$1 nvcc=$2 architecture=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$nvcc" -std=c++20 --expt-relaxed-constexpr "-gencode=arch=compute_80,code=$architecture" \
  -Werror=all-warnings -Xptxas -v -cubin -I"$root/include" -I"$root/kernels" \
  -o "$folder/kernels.cubin" "$root/tests/structure/kernels.cu" 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
c++filt < "$folder/log" | awk -v architecture="$architecture" '
  /Compiling entry function/ { name = $0; sub(/.*Compiling entry function ./, "", name); sub(/. for .*/, "", name)
                               sub(/^void lpw::[a-z0-9_]+::kernels::/, "", name); sub(/\(.*/, "", name) }
  /bytes stack frame/ { text = $0
                        local_memory = !/^ *0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/ }
  /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
                            shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
                            blocks = int(65536 / (256 * 8 * int((registers + 7) / 8))); if (blocks > 8) blocks = 8
                            printf "%4d registers %6d bytes shared %4d %%  %s\n", registers, shared, blocks * 12.5, name
                            kernels++
                            if (local_memory) { bad++; printf "     LOCAL MEMORY:%s\n", text } }
  END { printf "%d kernels for %s, %d with spills or local memory\n", kernels, architecture, bad
        exit bad > 0 || kernels == 0 }'
