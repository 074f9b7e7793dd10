#!/usr/bin/env bash
# Usage: benchmarks/late_phase.sh [OPTION]...
# What each kind of late-phase weights costs: the time of a training step of K members, for each member beside the plain
# network's, and the process's peak memory beside that of K plain minibatches at once. Every measurement is a process of
# its own; a round measures each kind once, in turn. Prints a table for docs/performance.md.
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
      [ $# -ge 2 ] || die "$1 needs a value (see --help)"
      declare "${1#--}=$2"
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
step() {  # step NAME MODEL K OPTION...
  "$program" "$2" --members "$3" --precision "$precision" --seconds "$seconds" --step-only "${@:4}" \
    --json "$folder/one" >/dev/null || die "$program $2 --members $3 ${*:4} failed"
  sed "s/^/$1\t/" "$folder/one" >>"$folder/runs"
}
for ((round = 1; round <= rounds; round++)); do
  step plain "$model" 1
  step batchnorm "$model" "$members" --late batchnorm
  step batchnorm,head "$model" "$members" --late batchnorm,head
  step rank1 "$model" "$members" --late rank1
  step plain "$model" 1
  step templates "hyper-$model" "$members" --late templates
  step additive "$model" "$members" --late additive
  step all "$model" "$members" --late all
  step "all, K = $replicated" "$model" "$replicated" --late all
  echo "round $round of $rounds" >&2
done
python3 - "$folder/runs" "$model" "$precision" <<'P'
import json, statistics, sys

runs = {}
for line in open(sys.argv[1]):
    name, run = line.split("\t", 1)
    run = json.loads(run)
    runs.setdefault(name, []).append((run["milliseconds"], run["peak_rss_mb"], run["members"]))
plain = statistics.median(run[0] for run in runs["plain"])
print(f"{sys.argv[2]}, {sys.argv[3]}: the plain network's step takes {plain:.1f} ms, "
      f"its process {max(run[1] for run in runs['plain']):.0f} MB\n")
print("| late-phase weights | K | step, ms | for each member / plain step | peak, MB |\n|---|---|---|---|---|")
for name, all in runs.items():
    time = statistics.median(run[0] for run in all)
    print(f"| {name.split(',', 1)[0] if 'K =' in name else name} | {all[0][2]} | {time:.1f} | "
          f"{time / all[0][2] / plain:.2f} | {max(run[1] for run in all):.0f} |")
P
