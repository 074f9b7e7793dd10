#!/usr/bin/env bash
# Usage: scripts/gpu_check.sh [OPTION]...
# Checks the CUDA backend on this machine's GPU and measures it, in under 8 minutes on 16 cores: builds for this GPU
# alone, runs the tests that are labelled gpu, then those of the kernels under compute-sanitizer, then the benchmarks,
# and writes gpu_report.md and gpu_report.json. A stage that fails keeps no other from running; the exit status is 1 if
# any failed. What a stage leaves out for lack of a tool or of time is in the report. Needs NVIDIA's driver, the CUDA
# toolkit, CMake, ninja and python3; no network. cuDNN and cuBLAS may be the toolkit's or those that PyTorch brings.
#   --out DIR       folder of the reports, with the logs and measurements they are made of (build/gpu-report); those of
#                   an earlier call are replaced, and DIR's other folders are left alone
#   --stages A,B    some of build, tests, memcheck, racecheck, steps, eager, cudnn, kernels, batch_norm, torch (all)
#   --arch NN       architecture to build for, as in 90 (that of the first GPU)
#   --build DIR     folder to build in (build/gpu)
#   --minutes N     nothing begins later, and what then still runs is stopped (8)
# Environment:
#   LPW_DEPS_DIR      folder that scripts/collect_deps.sh filled, where Eigen, Catch2, CLI11, nlohmann-json are not
#                     installed
#   LPW_TORCH_PYTHON  Python with PyTorch 2 or later, for the stage torch (python3)
#   LPW_COMMIT        what the report calls this tree where git cannot tell
source "$(dirname -- "$0")/common.sh"
show_help "$@"
source scripts/gpu_stages.sh

# In the order of what each teaches: what is right, what the sanitizers see, how long training steps take, and why.
all_stages=(build tests memcheck racecheck steps eager cudnn kernels batch_norm torch)
# Seconds, chosen so that the stages of a run without trouble have what they need. compute-sanitizer makes programs 10
# to 100 times as slow.
declare -A limits=([build]=240 [tests]=120 [memcheck]=60 [racecheck]=45 [steps]=70 [eager]=30 [cudnn]=20
  [kernels]=40 [batch_norm]=20 [torch]=90)

out=build/gpu-report stages="" arch="" build=build/gpu minutes=8
while [ $# -gt 0 ]; do
  case $1 in
    --out | --stages | --arch | --build | --minutes)
      set_option "$@"
      shift ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
  shift
done
read -ra stages <<<"${stages//,/ }"
[ ${#stages[@]} -gt 0 ] || stages=("${all_stages[@]}")
for stage in "${stages[@]}"; do
  [ -n "${limits[$stage]:-}" ] || die "--stages $stage: expected some of ${all_stages[*]}"
done
[[ $arch =~ ^[0-9]*$ ]] || die "--arch $arch: expected a number, as in 90"
wanted() { [[ " ${stages[*]} " == *" $1 "* ]]; }

PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
python=${LPW_TORCH_PYTHON:-python3}
# it may say why, in place of names
gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null) || gpu=""
gpu=${gpu%%$'\n'*}
[ -n "$gpu" ] ||
  die "there is no NVIDIA GPU here: run this where nvidia-smi lists one;" \
    "scripts/test.sh checks the kernels without, on an emulator"
IFS=, read -r gpu_name driver capability <<<"${gpu//, /,}"
arch=${arch:-${capability/./}}
needed=(python3)
! wanted build || needed+=(nvcc cmake ninja)
for tool in "${needed[@]}"; do
  command -v "$tool" >/dev/null ||
    die "$tool is needed and not installed (the CUDA toolkit has nvcc; pip has cmake and ninja)"
done
[ -z "${LPW_DEPS_DIR:-}" ] || [ -d "$LPW_DEPS_DIR" ] ||
  die "LPW_DEPS_DIR=$LPW_DEPS_DIR: no such folder; scripts/collect_deps.sh makes it"

for folder in "$out/logs" "$out/data"; do
  own_folder "$folder"
  rm -rf "$folder"
  own_folder "$folder"
done
mkdir -p "$build"
out=$(cd -- "$out" && pwd) build=$(cd -- "$build" && pwd)
rm -f "$out"/gpu_report.{md,json}
deadline=$((60 * minutes - 10))  # a moment for the report

describe_machine >"$out/data/machine.tsv"
touch "$out"/data/{stages,notes,failures}.tsv
for stage in "${all_stages[@]}"; do
  ! wanted "$stage" || run_stage "$stage"
done
python3 scripts/gpu_report.py "$out" "$build" ||
  die "the report could not be written; what it is made of is in $out/data and $out/logs"
awk -F '\t' '$2 == "FAILED" { failed = 1 } END { exit failed }' "$out/data/stages.tsv"
