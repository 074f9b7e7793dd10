#!/usr/bin/env bash
# Usage: scripts/methods.sh [OPTION]... [METHOD]...
# Trains with each method of examples/configs/methods once, or with those named, each in a run folder of its own, and
# prints one table: what is served, its scores, and what training and serving cost. On the synthetic images it takes
# less than fifteen minutes on two cores. One run says little about a method: accuracies of runs that differ in their
# seed alone differ by a per cent or two at this size.
#   --build DIR     where cifar is built (build/release)
#   --out DIR       folder of the run folders, those of an earlier call are replaced (build/methods)
#   --data DIR      folder of CIFAR-10's files (synthetic images)
#   --model NAME    network (wrn-10-1; hyper-NAME where a method needs templates)
#   --images N      training images, of which a quarter as many more are for testing; 0: all (2000)
#   --seed N        seed of all runs (1)
source "$(dirname -- "$0")/common.sh"
show_help "$@"

build=build/release out=build/methods data=synthetic model=wrn-10-1 images=2000 seed=1 methods=()
while [ $# -gt 0 ]; do
  case $1 in
    --build | --out | --data | --model | --images | --seed)
      set_option "$@"
      shift ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) methods+=("$1") ;;
  esac
  shift
done
[ ${#methods[@]} -gt 0 ] || for file in examples/configs/methods/*.toml; do methods+=("$(basename "$file" .toml)"); done
program=$build/examples/cifar
[ -x "$program" ] || program=$build/examples/cpu/cifar  # of a build without it: the CPU's alone
[ -x "$program" ] ||
  die "$build/examples/cifar: not built; cmake --preset release && cmake --build --preset release --target cifar"
command -v python3 >/dev/null || die "python3 is not installed, which makes the table"

run() {  # run METHOD: trains with it; what it prints goes into its log
  local method=$1 file=examples/configs/methods/$1.toml network=$model options
  [ -f "$file" ] || die "$method: there is no examples/configs/methods/$method.toml"
  [[ $method != *templates* ]] || network=hyper-$model
  rm -rf "${out:?}/$method"
  options=(--config "$file" --data "$data" --model "$network" --train-subset "$images"
    --test-subset $((images / 4)) --eval-every 1000 --seed "$seed" --out "$out/$method")
  "$program" "${options[@]}" >"$out/$method.log" 2>&1 || {
    tail -3 "$out/$method.log" >&2
    die "$method: failed, see $out/$method.log"
  }
}

own_folder "$out"
for method in "${methods[@]}"; do
  begin=$SECONDS
  run "$method"
  printf '%-28s %4d s\n' "$method" $((SECONDS - begin)) >&2
done
python3 scripts/methods_table.py "$out" "${methods[@]}"
