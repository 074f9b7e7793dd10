#!/usr/bin/env bash
# Usage: benchmarks/communication.sh [--processes R] [--members K] [--batch B] [--iterations N] [--models NAME,...]
#        CIFAR [OPTION...]
# What processes tell each other in a step of the trainer of images, and how long that takes beside what they compute:
# a row of a table for each model (wrn-16-2 if none is said). K members (of 2 R if not said), B images each (16), in R
# processes (2) of one thread, which sum the shared weights' gradient while backward runs, and then not before it has
# ended; beside these, at the same time, R runs of K / R members that have nothing to tell; and one process of K members
# and R threads. An iteration is the mean of the N (8) of an epoch; the runs together less those alone is the sum, and
# waiting for the slowest. Needs mpirun and a machine that does nothing else. For example
#   benchmarks/communication.sh --processes 4 --models wrn-16-4,wrn-28-10 --iterations 2 build/release/examples/cifar
source "$(dirname -- "$0")/../scripts/common.sh"
show_help "$@"

processes=2 members="" batch=16 iterations=8 models=wrn-16-2
while [ $# -gt 0 ]; do
  case $1 in
    --processes | --members | --batch | --iterations | --models) set_option "$@"; shift 2 ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || die "which program? (see --help)"
program=$(absolute "$1"); shift
[ -x "$program" ] || die "$program is no program"
command -v mpirun >/dev/null || die "mpirun is not on PATH"
members=${members:-$((2 * processes))}
[ $((members % processes)) -eq 0 ] || die "$members members are not as many in each of $processes processes"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# train FOLDER MEMBERS THREADS [OPTION...]: prints its command. The same iterations an epoch for any number of members.
train() {
  local folder=$1 count=$2 threads=$3; shift 3
  local one=(); [ "$count" -gt 1 ] || one=(--release-one)
  printf '%q ' "$program" --out "$folder" --model "$model" --members "$count" --threads "$threads" --epochs 3 \
    --release-epoch 0 --eval-every 3 --test-subset 10 --batch "$batch" --checkpoint-minutes 1000 \
    --train-subset $((iterations * count * batch)) "${one[@]}" "${options[@]}" "$@"
}
# run COMMAND: its log is shown where it fails.
run() { bash -c "$1" >"$work/log" 2>&1 || die "a run failed: $(tail -n 3 "$work/log")"; }

# milliseconds FOLDER: of an iteration in the second epoch, which nothing is scored after.
milliseconds() {
  awk -F, -v iterations="$iterations" '
    NR == 1 { for (i = 1; i <= NF; ++i) column[$i] = i }
    $column["epoch"] == 2 { print 1e3 * $column["epoch_seconds"] / iterations }' "$1/metrics.csv"
}

options=("$@")
echo "$members members of $batch images, ms an iteration: $processes processes of 1 thread, and 1 of $processes"
echo "| model | shared weights | MB sent by each | computed alone | summed meanwhile | summed after | one process |"
echo "|---|---|---|---|---|---|---|"
for model in ${models//,/ }; do
  together="mpirun -n $processes --bind-to none $(train "$work/meanwhile" "$members" 1)"
  run "$together"
  run "mpirun -n $processes --bind-to none $(train "$work/after" "$members" 1 --sum-chunk 0)"
  run "$(train "$work/one" "$members" "$processes")"
  # shellcheck disable=SC2016  # what runs the commands expands them
  run "$(for number in $(seq "$processes"); do
    printf '%s & running="$running $!"; ' "$(train "$work/alone.$number" $((members / processes)) 1)"
  done) for each in \$running; do wait \$each || exit 1; done"
  shared=$(awk -F '[:,]' '/"parameters_base"/ { print $2 + 0 }' "$work/one/summary.json")
  alone=$(for number in $(seq "$processes"); do milliseconds "$work/alone.$number"; done |
    awk '{ sum += $1 } END { print sum / NR }')
  awk -v model="$model" -v n="$shared" -v r="$processes" -v alone="$alone" -v one="$(milliseconds "$work/one")" \
    -v meanwhile="$(milliseconds "$work/meanwhile")" -v after="$(milliseconds "$work/after")" '
    BEGIN {
      printf "| %s | %d | %.2f | %.1f | %.1f | %.1f | %.1f |\n", model, n, 8 * n * (r - 1) / r / 1e6, alone, \
        meanwhile, after, one
    }'
  rm -rf "${work:?}"/*
done
