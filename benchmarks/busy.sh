#!/usr/bin/env bash
# Usage: benchmarks/busy.sh [OPTION]...
# Training steps of lpw, and of PyTorch where there is one, on cores of their own and beside a busy program on one of
# the cores, with one thread and with all. Prints a table for docs/performance.md: steps a second, and the share of the
# idle rate that is left.
#   --cores N        (2)
#   --rounds N       how often each is measured, in turn; means count, for what a busy machine does varies (3)
#   --seconds N      of a measurement (4)
#   --works A,B      wrn-DEPTH-WIDEN, the same with -eval for evaluation or with :N for N images, lstm, mlp-WIDTH
#                    (wrn-10-1,mlp-64,mlp-256,mlp-1024)
#   --build FOLDER   where lpw's programs are (build/release)
# Environment: LPW_TORCH_PYTHON is a Python with PyTorch 2 or later (python3).
source "$(dirname "$0")/../scripts/common.sh"
show_help "$@"

cores=2 rounds=3 seconds=4 works=wrn-10-1,mlp-64,mlp-256,mlp-1024 build=build/release
while [ $# -gt 0 ]; do
  case $1 in
    --cores | --rounds | --seconds | --works | --build)
      set_option "$@"
      shift ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
  shift
done
[ "$cores" -le "$(nproc)" ] || die "--cores $cores: there are $(nproc)"
for program in bench_step bench_mlp; do
  remedy="cmake --preset release && cmake --build --preset release --target $program"
  [ -x "$build/benchmarks/$program" ] || die "$build/benchmarks/$program is not there: $remedy"
done
python=${LPW_TORCH_PYTHON:-python3}
programs=(lpw)
if "$python" -c 'import torch; assert int(torch.__version__.split(".")[0]) >= 2' 2>/dev/null; then
  programs+=(PyTorch)
else
  echo "without PyTorch: $python has none; LPW_TORCH_PYTHON names one that has" >&2
fi

folder=$(mktemp -d)
busy=
stop_busy() {
  [ -z "$busy" ] || { kill "$busy" && wait "$busy"; } 2>/dev/null || true
  busy=
}
trap 'stop_busy; rm -rf "$folder"' EXIT

# steps_per_second PROGRAM WORK THREADS
steps_per_second() {
  local program=$1 work=${2%:*} threads=$3 batch=() command=()
  [ "$2" = "$work" ] || batch=(--batch "${2#*:}")
  case $program:$work in
    lpw:mlp-*) command=("$build/benchmarks/bench_mlp" "${work#mlp-}") ;;
    lpw:*) command=("$build/benchmarks/bench_step" "$work" --members 1 --step-only) ;;
    PyTorch:mlp-*) command=("$python" benchmarks/peers/mlp.py "${work#mlp-}" --threads "$threads") ;;
    PyTorch:lstm) command=("$python" benchmarks/peers/lstm.py --variants loop) ;;
    PyTorch:*-eval) command=("$python" benchmarks/peers/image_network.py "$work" --variants folded-channels_last) ;;
    PyTorch:*) command=("$python" benchmarks/peers/image_network.py "$work" --variants loop-channels_last) ;;
  esac
  case $program:$work in
    *:mlp-*) ;;
    PyTorch:*) command+=(--members 1 --threads "$threads" "${batch[@]}") ;;
    *) command+=("${batch[@]}") ;;
  esac
  rm -f "$folder/json"
  OMP_NUM_THREADS=$threads taskset -c "0-$((cores - 1))" "${command[@]}" --seconds "$seconds" \
    --json "$folder/json" >"$folder/log" 2>&1 ||
    { echo "$program $work: $(tail -1 "$folder/log")" >&2; return; }
  LC_ALL=C sed -n 's/.*"milliseconds": *\([0-9.e+-]*\).*/\1/p' "$folder/json" | LC_ALL=C awk '{ print 1000 / $1 }'
}

for ((round = 1; round <= rounds; ++round)); do
  for load in idle busy; do
    if [ $load = busy ]; then
      taskset -c 0 bash -c 'while :; do :; done' &
      busy=$!
    fi
    for work in ${works//,/ }; do
      for program in "${programs[@]}"; do
        for threads in 1 "$cores"; do
          echo "round $round of $rounds, $load: $program $work, $threads threads" >&2
          echo "$work $program $load-$threads $(steps_per_second "$program" "$work" "$threads")" >>"$folder/rates"
        done
      done
    done
    stop_busy
  done
done

processor=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo) || true
echo "Steps a second on $cores cores of $processor, means of $rounds rounds"
echo
echo "| work | | idle, 1 thread | idle, $cores threads | busy, 1 thread | busy, $cores threads |\
 busy / idle | $cores threads / 1, busy |"
echo "|---|---|---|---|---|---|---|---|"
LC_ALL=C awk -v cores="$cores" '
  NF == 4 {
    key = $1 " | " $2; if (!(key in seen)) { seen[key] = 1; order[++count] = key }
    sum[key, $3] += $4; ++n[key, $3]
  }
  function rate(key, load) { return n[key, load] ? sum[key, load] / n[key, load] : 0 }
  function share(a, b) { return b > 0 ? sprintf("%.2f", a / b) : "-" }
  END {
    for (i = 1; i <= count; ++i) {
      key = order[i]
      idle = rate(key, "idle-" cores); busy = rate(key, "busy-" cores); one = rate(key, "busy-1")
      printf "| %s | %.4g | %.4g | %.4g | %.4g | %s | %s |\n", key,
        rate(key, "idle-1"), idle, one, busy, share(busy, idle), share(busy, one)
    }
  }' "$folder/rates"
