#!/usr/bin/env bash
# Usage: benchmarks/communication.sh [--processes R] [--members K] [--batch B] CIFAR [OPTION...]
# What processes tell each other in a step of the trainer of images, and how long that takes beside what they compute:
# a run of K members (of 2 R if not said) in R processes (2), and beside each other R runs of K / R members that have
# nothing to tell. Each has a thread. The difference of their iterations is the sum of the shared weights' gradient, and
# waiting for the slowest. Needs mpirun and a machine that does nothing else. For example
#   benchmarks/communication.sh --processes 4 build/release/examples/cifar --model wrn-16-4 --train-subset 4000
source "$(dirname -- "$0")/../scripts/common.sh"
show_help "$@"

processes=2 members="" batch=16
while [ $# -gt 0 ]; do
  case $1 in
    --processes | --members | --batch) set_option "$@"; shift 2 ;;
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
common=(--epochs 3 --release-epoch 0 --eval-every 3 --test-subset 10 --batch "$batch" --threads 1 "$@")

# seconds FOLDER MEMBERS: of an iteration in the second epoch, which nothing is scored after.
seconds() {
  awk -F, -v members="$2" -v batch="$batch" '
    NR == 1 { for (i = 1; i <= NF; ++i) column[$i] = i }
    $column["epoch"] == 1 { before = $column["samples_forward"] }
    $column["epoch"] == 2 {
      print $column["epoch_seconds"] * members * batch / ($column["samples_forward"] - before)
    }' "$1/metrics.csv"
}

mpirun -n "$processes" "$program" "${common[@]}" --members "$members" --out "$work/together" >"$work/log" 2>&1 ||
  die "the run in $processes processes failed: $(tail -n 3 "$work/log")"
own=(--members $((members / processes)))
[ "$members" -gt "$processes" ] || own+=(--release-one)
waiting=()
for number in $(seq "$processes"); do
  "$program" "${common[@]}" "${own[@]}" --out "$work/$number" >"$work/log.$number" 2>&1 &
  waiting+=($!)
done
for process in "${waiting[@]}"; do wait "$process" || die "a run alone failed: $(tail -qn 1 "$work"/log.*)"; done

shared=$(awk -F '[:,]' '/"parameters_base"/ { print $2 + 0 }' "$work/together/summary.json")
alone=$(for number in $(seq "$processes"); do seconds "$work/$number" $((members / processes)); done |
  awk '{ sum += $1 } END { print sum / NR }')
awk -v together="$(seconds "$work/together" "$members")" -v alone="$alone" -v n="$shared" -v r="$processes" '
  BEGIN {
    printf "%d shared weights: a process sends %.2f MB in an iteration\n", n, 8 * n * (r - 1) / r / 1e6
    printf "iteration: %.1f ms together, %.1f ms of them computed alone, %.1f ms (%.0f %%) for the sum\n",
      1e3 * together, 1e3 * alone, 1e3 * (together - alone), 100 * (together - alone) / together
  }'
