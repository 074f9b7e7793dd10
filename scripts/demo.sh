#!/usr/bin/env bash
# Usage: scripts/demo.sh [OPTION of the cifar example]...
# Builds the cifar example and trains a small network with late-phase weights on synthetic images, in a few minutes on
# two cores. Prints the result table; the run's log and model go to build/demo-run. Options given here come after, and
# override, the demo's own.
source "$(dirname -- "$0")/common.sh"
show_help "$@"

say "Packages"
scripts/setup.sh

say "Build"
cmake --preset release
cmake --build --preset release --parallel "$(build_jobs)" --target cifar

say "Training"
rm -rf build/demo-run
run=(build/release/examples/cifar --data synthetic --model wrn-10-1 --epochs 8 --release-epoch 5 --members 5
  --out build/demo-run "$@")
echo "${run[*]}"
"${run[@]}"
