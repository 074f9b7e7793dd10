#!/usr/bin/env bash
# Runs every program of the documents, each in a folder of its own, where what one run leaves is there for a second one:
# programs that go on with what they saved do so; pages.py makes the files that they read. Those that use MPI run in two
# processes where there is MPI.
# usage: pages.sh PROGRAM [MPIEXEC]
set -euo pipefail
program=$1 mpiexec=${2:-}
here=$(cd -- "$(dirname -- "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
  PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_mpi_yield_when_idle=1 \
  OMPI_MCA_btl_vader_single_copy_mechanism=none
count=0 failed=""
while IFS= read -r name; do
  case $name in
    distributed-*) command=(${mpiexec:+"$mpiexec" -n 2}) ;;
    *) command=() ;;
  esac
  mkdir "$folder/$name"
  python3 "$here/pages.py" "$name" "$folder/$name"
  runs=1
  [ "$name" != own-loops-1 ] || runs=2
  for ((run = 1; run <= runs; run++)); do
    begin=$(date +%s%N) status=0
    (cd "$folder/$name" && timeout 120 ${command[@]+"${command[@]}"} "$program" "$name") \
      >"$folder/log" 2>&1 </dev/null || status=$?
    echo "pages: $name${command[*]:+ (${command[*]##*/})}: $((($(date +%s%N) - begin) / 1000000)) ms"
    [ "$status" = 0 ] && continue
    failed="$failed $name"
    echo "pages: $name ended with $status:"
    cat "$folder/log"
  done
  count=$((count + 1))
done < <("$program")
[ -z "$failed" ] || { echo "pages: failed:$failed" >&2; exit 1; }
[ "$count" -gt 0 ] || { echo "pages: $program has no programs" >&2; exit 1; }
echo "pages: $count programs run"
