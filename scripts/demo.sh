#!/usr/bin/env bash
# Usage: scripts/demo.sh [OPTION of the cifar example]...
# Builds the cifar example and trains a small network on synthetic images twice, on as many samples: by plain SGD, and
# with late-phase weights. Takes a few minutes on two cores, prints one table of both, and leaves each run's log and
# model in build/demo-run. Options given here are for both runs; they come after, and override, the demo's own.
source "$(dirname -- "$0")/common.sh"
show_help "$@"

say "Packages"
scripts/setup.sh

say "Build"
cmake --preset release
cmake --build --preset release --parallel "$(build_jobs)" --target cifar

rm -rf build/demo-run
train() {  # train NAME OPTION...
  local run=(build/release/examples/cifar --data synthetic --model wrn-10-1 --epochs 8 --release-epoch 5 --members 5
    --out "build/demo-run/$1" "${@:2}")
  echo "${run[*]}"
  "${run[@]}"
}
say "Plain SGD: the same run without a release"
train plain "$@" --release-epoch 1000000
say "Late-phase weights"
train late-phase "$@"

say "Both, on as many samples"
row() {  # row TITLE NAME RESULT: of the run's summary
  local value values=()
  for value in "test_accuracy_$3" "test_nll_$3" "test_ece_$3" seconds; do
    values+=("$(sed -n "s/^  \"$value\": \([0-9.e+-]*\),*$/\1/p" "build/demo-run/$2/summary.json")")
  done
  printf '%-44s %8.4f %8.4f %8.4f %8.1f\n' "$1" "${values[@]}"
}
printf '%-44s %8s %8s %8s %8s\n' "" accuracy NLL ECE seconds
row "plain SGD" plain collapsed
row "late-phase weights, ensemble of the members" late-phase ensemble
row "late-phase weights, one plain network" late-phase collapsed
