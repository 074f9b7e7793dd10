#!/usr/bin/env bash
# Makes machine code of every kernel for one architecture, and fails if any spills registers, uses local memory, has no
# launch bounds, or more registers than these leave. Prints of each kernel its registers and how many it may have, its
# static shared memory, and the share of a multiprocessor's 2048 threads that its registers leave room for in blocks of
# 256. (Dynamic shared memory is the launch plan's, and chosen so that as many blocks fit.)
# usage: kernel_resources.sh NVCC PTX ARCHITECTURE CUBIN
#   PTX    of kernels.cu
#   CUBIN  the file that is written, which machine_code.py reads
set -euo pipefail
nvcc=$1 ptx=$2 architecture=$3 cubin=$4
log=$(mktemp)
trap 'rm -f "$log"' EXIT
rm -f "$cubin"
"$nvcc" "-gencode=arch=compute_80,code=$architecture" -Werror=all-warnings -Xptxas -v -cubin -o "$cubin" "$ptx" \
  2> "$log" || { cat "$log" >&2; exit 1; }
{ grep -E '\.entry |\.maxntid |\.minnctapersm ' "$ptx"; cat "$log"; } | c++filt | awk -v architecture="$architecture" '
  function kernel(text) { sub(/.*(\.entry |Compiling entry function .)/, "", text)
                          sub(/^void /, "", text); gsub(/[a-z0-9_]+::/, "", text); sub(/\(.*/, "", text)
                          return text }
  /\.entry / || /Compiling entry function/ { name = kernel($0) }
  /\.maxntid / { threads[name] = $2 + 0 }
  /\.minnctapersm / { blocks_of[name] = $2 + 0 }
  /bytes stack frame/ { text = $0
                        local_memory = !/^ *0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/ }
  /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5) + 0
                            shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
                            blocks = int(65536 / (256 * 8 * int((registers + 7) / 8))); if (blocks > 8) blocks = 8
                            bound = threads[name] * blocks_of[name]
                            limit = bound ? 8 * int(65536 / bound / 8) : 0
                            printf "%4d of %3d registers %6d bytes shared %4d %%  %s\n", registers, limit, shared,
                                   blocks * 12.5, name
                            kernels++
                            if (local_memory) { bad++; printf "     LOCAL MEMORY:%s\n", text }
                            if (!bound) { bad++; print "     NO LAUNCH BOUNDS" }
                            else if (registers > limit) { bad++; print "     MORE REGISTERS THAN ITS LAUNCH BOUNDS" } }
  END { printf "%d kernels for %s, %d with spills, local memory or without bounds\n", kernels, architecture, bad
        exit bad > 0 || kernels == 0 }'
