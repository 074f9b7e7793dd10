#!/usr/bin/env bash
# Usage: benchmarks/compare.sh [OPTION]... [WORK]...
# Training steps, or evaluations, of lpw and of PyTorch on this machine's CPU, in turn on the same cores with as many
# threads, a process for each measurement. Prints a table for docs/performance.md: medians over the rounds, with the
# least and the most.
# WORK is MODEL:PRECISION:MEMBERS[:CHUNK], as in wrn-16-2:fp32:10 or lstm:fp32:10; CHUNK is lpw's members at a time (0:
# all). wrn-16-2-eval:fp32:1 is the forward pass of the plain network (what collapse leaves) over a batch in evaluation
# mode. Default: a set that takes some ten minutes on two cores.
#   --rounds N       how often each is measured (3)
#   --samples N      steps or evaluations in a measurement, of which the median counts (3)
#   --threads N      (all cores)
#   --batch N        samples per member (128 images, 32 of those that are of 224x224, 20 sequences)
#   --variants A,B   PyTorch's, as in peers/image_network.py and peers/lstm.py --help (default: those that were
#                    fastest somewhere)
#   --build FOLDER   where lpw's programs are (build/release)
#   --json FILE      also write all measurements
# Environment: LPW_TORCH_PYTHON is a Python with PyTorch 2 or later (python3). In a virtual environment: pip install
# torch Where a hypervisor hides AMX's tiles, PyTorch's bf16 stops at an illegal instruction without
# ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16.
source "$(dirname -- "$0")/../scripts/common.sh"
show_help "$@"

rounds=3 samples=3 threads=$(nproc) batch=0 variants="" build=build/release json="" works=()
while [ $# -gt 0 ]; do
  case $1 in
    --rounds | --samples | --threads | --batch | --variants | --build | --json)
      set_option "$@"
      shift ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) works+=("$1") ;;
  esac
  shift
done
[ ${#works[@]} -gt 0 ] || works=(wrn-10-1:fp32:10 wrn-16-2:fp32:10 wrn-16-2:fp32:1 lstm:fp32:10)

python=${LPW_TORCH_PYTHON:-python3}
ours=$build/benchmarks/bench_step
"$python" -c 'import torch; assert int(torch.__version__.split(".")[0]) >= 2' 2>/dev/null ||
  die "$python has no PyTorch 2 or later; set LPW_TORCH_PYTHON to one that has:" \
    "python3 -m venv DIR && DIR/bin/pip install torch"
[ -x "$ours" ] || die "$ours is not there: cmake --preset release && cmake --build --preset release --target bench_step"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=$threads
pin=()
if command -v taskset >/dev/null; then pin=(taskset -c "0-$((threads - 1))"); fi

# measure NAME COMMAND...: one measurement of the current work and round.
measure() {
  local name=$1 begin=$SECONDS
  shift
  if "${pin[@]}" "$@" --samples "$samples" --json "$place/$round-$name.json" >"$folder/log" 2>&1; then
    echo "  $name: $((SECONDS - begin)) s" >&2
  else
    echo "  $name FAILED: $(tail -1 "$folder/log")" >&2
  fi
}

# peer_variants MODEL PRECISION: what is measured of PyTorch.
peer_variants() {
  if [ -n "$variants" ]; then echo "${variants//,/ }"; return; fi
  case $1 in
    lstm) echo "loop loop-compile plain" ;;
    *-eval) echo "plain plain-channels_last folded-channels_last plain-compile plain-freeze" ;;
    *) echo "loop loop-channels_last loop-compile" ;;
  esac
}

for ((round = 1; round <= rounds; ++round)); do
  for i in "${!works[@]}"; do
    IFS=: read -r model precision members chunk <<<"${works[$i]}"
    [ -n "$members" ] || die "${works[$i]}: expected MODEL:PRECISION:MEMBERS[:CHUNK]"
    [[ $model != *-eval || $members = 1 ]] || die "${works[$i]}: a plain network has 1 member"
    echo "round $round of $rounds, ${works[$i]}" >&2
    place=$folder/$(printf %02d "$i")-$model
    mkdir -p "$place"
    measure lpw "$ours" "$model" --precision "$precision" --members "$members" \
      --member-chunk "${chunk:-0}" --batch "$batch" --step-only
    peer=(benchmarks/peers/image_network.py "$model")
    [ "$model" != lstm ] || peer=(benchmarks/peers/lstm.py)
    [ "$batch" = 0 ] || peer+=(--batch "$batch")
    for variant in $(peer_variants "$model"); do
      measure "$variant" "$python" "${peer[@]}" --precision "$precision" --members "$members" \
        --threads "$threads" --variants "$variant"
    done
  done
done

processor=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null)
echo
echo "$threads threads of ${processor:-$(uname -m)}; PyTorch $torch; $rounds rounds, medians of $samples steps;" \
  "the fastest of PyTorch's in bold."
echo
"$python" benchmarks/peers/compare_table.py "$folder"/*/ ${json:+--json "$json"}
