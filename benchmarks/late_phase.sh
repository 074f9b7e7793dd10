#!/usr/bin/env bash
# Usage: benchmarks/late_phase.sh [OPTION]...
# What each kind of late-phase weights costs: the time of a training step of K members, for each member beside the plain
# network's, and the process's peak memory beside that of K plain minibatches at once. Every measurement is a process of
# its own; a round measures each kind once, in turn. Prints the table of docs/performance.md.
#   --model M        wrn-DEPTH-WIDEN (wrn-16-2)
#   --members K      (10)
#   --replicated K   members of the network that is replicated whole, which are compared with K steps one after another
#                    (4)
#   --precision P    fp32 or bf16 (fp32)
#   --rounds N       (3)
#   --seconds N      of a measurement (5)
#   --build FOLDER   where lpw's programs are (build/release)
source "$(dirname "$0")/../scripts/common.sh"
show_help "$@"

model=wrn-16-2 members=10 replicated=4 precision=fp32 rounds=3 seconds=5 build=build/release
while [ $# -gt 0 ]; do
  case $1 in
    --model | --members | --replicated | --precision | --rounds | --seconds | --build)
      set_option "$@"
      shift ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
  shift
done
program=$build/benchmarks/bench_step
remedy="cmake --preset release && cmake --build --preset release --target bench_step"
[ -x "$program" ] || die "$program is not there: $remedy"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
step() {  # step ROW MODEL K OPTION...
  "$program" "$2" --members "$3" --precision "$precision" --seconds "$seconds" --step-only "${@:4}" \
    --json "$folder/one" >/dev/null || die "$program $2 --members $3 ${*:4} failed"
  sed "s/^/$1\t/" "$folder/one" >>"$folder/runs"
}
plain="none, one minibatch" together="none, $members minibatches at once"
for ((round = 1; round <= rounds; round++)); do
  step "$plain" "$model" 1
  step "batch norm" "$model" "$members" --late batchnorm
  step "batch norm, head" "$model" "$members" --late batchnorm,head
  step rank-1 "$model" "$members" --late rank1
  step "$plain" "$model" 1
  step "templates (hyper-$model)" "hyper-$model" "$members" --late templates
  step "additive, all parameters" "$model" "$members" --late additive
  step all "$model" "$members" --late all
  step all "$model" "$replicated" --late all
  step "$together" "$model" 1 --batch $((128 * members))
  echo "round $round of $rounds" >&2
done
python3 - "$folder/runs" "$plain" "$together" "$members" <<'P'
import json, statistics, sys

runs = {}
for line in open(sys.argv[1]):
    name, run = line.split("\t", 1)
    run = json.loads(run)
    minibatches = int(sys.argv[4]) if name == sys.argv[3] else run["members"]
    runs.setdefault((name, minibatches), []).append((run["milliseconds"], run["peak_rss_mb"]))


def median_and_peak(measured):
    return statistics.median(time for time, _ in measured), max(peak for _, peak in measured)


plain, _ = median_and_peak(runs[sys.argv[2], 1])
print("| late-phase weights | K | step, ms | for each member / plain step | peak, MB |\n|---|---|---|---|---|")
for (name, minibatches), measured in runs.items():
    time, peak = median_and_peak(measured)
    print(f"| {name} | {minibatches} | {time:.0f} | {time / minibatches / plain:.2f} | {peak:.0f} |")
P
