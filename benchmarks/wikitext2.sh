#!/usr/bin/env bash
# Usage: benchmarks/wikitext2.sh [OPTION]... FOLDER [-- OPTION OF ENWIK8...]
# What late-phase weights are worth on a small text: a byte-level LSTM by Adam alone, with weight averaging, and with
# rank-1 late-phase weights, over as many iterations of as many bytes. Trains on FOLDER/valid.txt, whose last tenth is
# for validation, and tests on FOLDER/test.txt: the small files of WikiText-2. Prints a table of bits per character,
# mean ± standard deviation over the seeds. Runs that are finished are not repeated, others go on where they were: call
# it again after an interruption.
#   --seeds N       runs of each kind (3)
#   --jobs N        runs side by side, on one thread each (all cores)
#   --out FOLDER    where the runs are kept (build/wikitext2)
#   --build FOLDER  where lpw's programs are (build/release)
#   -- OPTION...    options of the trainer for all runs, such as --hidden 500; give another --out with them
source "$(dirname -- "$0")/../scripts/common.sh"
show_help "$@"

seeds=3 jobs=$(nproc) out=build/wikitext2 build=build/release data="" more=()
while [ $# -gt 0 ]; do
  case $1 in
    --seeds | --jobs | --out | --build)
      set_option "$@"
      shift ;;
    --) shift; more=("$@"); break ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) [ -z "$data" ] || die "expected one folder, found $data and $1"; data=$(absolute "$1") ;;
  esac
  shift
done
program=$build/examples/enwik8
[ -n "$data" ] || die "expected the folder of valid.txt and test.txt (see --help)"
for file in "$data/valid.txt" "$data/test.txt"; do [ -f "$file" ] || die "$file: no such file"; done
[ -x "$program" ] ||
  die "$program is not there: cmake --preset release && cmake --build --preset release --target enwik8"
[[ $seeds =~ ^[1-9][0-9]*$ && $jobs =~ ^[1-9][0-9]*$ ]] ||
  die "--seeds $seeds --jobs $jobs: expected numbers of at least 1"

# An iteration takes 16 streams, after release 4 by each of 4 members. Minibatches of 16 for every member, which are
# fewer iterations, end above Adam alone.
common=(--split "90,10,0" --hidden 256 --embedding 64 --bptt 100 --batch 16 --epochs 16
  --optimizer adam --lr 2e-3 --clip 1 --dropout 0.2 --threads 1)
declare -A kinds=(
  [adam]="--members 1"
  [swa]="--members 1 --schedule anneal:8:12:5e-4 --average swa --average-start 12"
  [late-phase]="--members 4 --batch 4 --release-epoch 10 --late rank1"
)

# train KIND SEED: one run, from where it is.
train() {
  local folder=$out/$1-$2 kind
  trap : TERM  # which the program heeds, and leaves a checkpoint: this shell is to wait for it
  [ ! -f "$folder/summary.json" ] || return 0
  read -ra kind <<<"${kinds[$1]}"
  mkdir -p "$out"
  echo "$(date +%H:%M:%S) $1, seed $2" >&2
  OMP_WAIT_POLICY=passive "$program" --data "$data/valid.txt" --test "$data/test.txt" "${common[@]}" "${kind[@]}" \
    "${more[@]}" --seed "$2" --out "$folder" --resume >>"$folder.log" 2>&1 ||
    echo "$1, seed $2: $(tail -1 "$folder.log")" >&2
}

set -m  # each run is a process group, which gets a signal whole
stop() {
  trap - INT TERM
  jobs -rp | xargs -rI{} kill -TERM -- -{}
  wait
  die "interrupted; call it again to go on"
}
trap stop INT TERM
for ((seed = 0; seed < seeds; ++seed)); do
  for kind in adam swa late-phase; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    train "$kind" "$seed" &
  done
done
wait

python3 benchmarks/wikitext2_table.py "$out" adam swa late-phase
