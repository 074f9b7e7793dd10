#!/usr/bin/env bash
# kernel_resources.sh and machine_code.py are worth something only if they fail when they should: both are run on
# kernels with planted faults.
# usage: planted_kernels.sh NVCC PYTHON
set -euo pipefail
unset CDPATH
here=$(cd -- "$(dirname -- "$0")" && pwd)
nvcc=$1 python=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
complain() { echo "$1"; failed=1; }

"$nvcc" -std=c++20 -gencode=arch=compute_80,code=compute_80 -ptx -o "$folder/kernels.ptx" "$here/planted_kernels.cu"
if output=$("$here/kernel_resources.sh" "$nvcc" "$folder/kernels.ptx" sm_90 "$folder/kernels.cubin" 2>&1); then
  complain "kernel_resources.sh finds nothing: $output"
fi
# after FINDING: of which kernels kernel_resources.sh says so; a finding follows its kernel's line.
after() { awk -v finding="$1" 'index($0, finding) { print name } { name = $NF }' <<<"$output" | xargs; }
[ "$(after 'LOCAL MEMORY')" = spills ] || complain "kernel_resources.sh finds other spills: $output"
[ "$(after 'NO LAUNCH BOUNDS')" = unbounded ] || complain "kernel_resources.sh finds other bounds: $output"
[ "$(wc -l <<<"$output")" = 13 ] || complain "kernel_resources.sh finds more or less: $output"  # 10 kernels, the sum

nvdisasm=$("$python" -B "$here/machine_code.py" --find "$nvcc") || { status=$?; echo "$nvdisasm"
  exit $((failed ? 1 : status)); }
table() { printf '| %s |\n' "$@" > "$folder/table.md"; }
run_check() { "$python" -B "$here/machine_code.py" "$folder/table.md" "$folder/kernels.cubin" "$nvcc" 2>&1; }
# The findings, one for each fault.
table 'vectors | LDG.128 STG.128 | - | -' 'narrow_load | STG.128 | - | -' 'narrow_store | LDG.128 | STG.32: apart | -' \
  'divides_integers | LDG.128 STG.128 | - | -' 'divides_wide_integers | LDG.128 STG.128 | - | int: outside' \
  'divides_floats | LDG.128 STG.128 | - | int+: else' 'divides_outside | LDG.128 STG.128 | - | -' \
  'divides_before | LDG.128 STG.128 | - | -' 'spills | LDG.128x99 STG.128 | - | -' 'gone | - | - | -'
expected='divides_floats divides (float) in an innermost loop
divides_integers divides (int) in an innermost loop
divides_outside divides (int) in a loop that has loops in it
divides_wide_integers divides (int) in an innermost loop
narrow_load has LDG.32 in an innermost loop
narrow_store has STG.32 in a loop with vectors
spills has LDG.128 N times in a loop, expected 99
spills uses local memory: LDL
spills uses local memory: STL
there is no kernel gone
unbounded has no row'
if output=$(run_check); then complain "machine_code.py finds nothing: $output"; fi
found=$(sed -n 's/^[^ ]*table\.md[^ ]*: //p' <<<"$output" | sed 's/ [0-9]* times in a loop/ N times in a loop/
  s/ [0-9]* times$//' | LC_ALL=C sort)
[ "$found" = "$expected" ] || complain "machine_code.py should find
$expected
but finds
$output"
# The same kernels in a table that allows it.
table 'vectors | LDG.128 STG.128 | - | -' 'narrow_load | LDG.32x4 STG.128 | - | -' \
  'narrow_store | LDG.128 | +STG.32: why | -' 'divides_integers | LDG.128 STG.128 | - | int+: why' \
  'divides_wide_integers | LDG.128 STG.128 | - | int+: why' 'divides_floats | LDG.128 STG.128 | - | float+: why' \
  'divides_outside | LDG.128 STG.128 | - | int: why' 'divides_before | LDG.128 STG.128 | - | -' \
  'spills | LDG.128 STG.128 | - | -' 'unbounded | LDG.128 STG.128 | - | -'
if output=$(run_check); then complain "machine_code.py finds no spills: $output"; fi
! grep -v 'spills uses local memory' <<<"$output" | grep -q 'table\.md' ||
  complain "machine_code.py finds what is allowed: $output"
table 'vectors | LDG.128 STG.128 | - | int'
if output=$(run_check); then complain "machine_code.py lets a division pass without a reason: $output"; fi
grep -qF 'expected "-", or "WORD...: WHY"' <<<"$output" || complain "machine_code.py does not ask for a reason: $output"

exit "$failed"
