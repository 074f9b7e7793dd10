# shellcheck shell=bash
# shellcheck disable=SC2154  # variables are gpu_check.sh's
# The stages of gpu_check.sh, which sources this. A stage is a function stage_NAME that runs in a shell of its own with
# its output in logs/NAME.log; it ends with 0, with 77 for SKIPPED, or else it FAILED. Tables in data/ are lines of
# fields between tabs:
#   machine.tsv    name, value
#   stages.tsv     stage, PASSED, SKIPPED or FAILED, seconds, reason
#   notes.tsv      stage, something it left out
#   failures.tsv   stage, what failed, its log

describe_machine() {
  printf '%s\t%s\n' gpu "$gpu_name" driver "$driver" architecture "$arch" \
    cuda "$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')" \
    date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    commit "$(git describe --always --dirty --abbrev=12 2>/dev/null || echo "${LPW_COMMIT:-unknown}")" \
    cores "$(nproc)" minutes "$minutes"
}

# run_stage NAME: runs it within its time and enters its result. `stage` and `stage_end` tell it who it is and when to
# be done.
run_stage() {
  local stage=$1 begin=$SECONDS left=$((deadline - SECONDS)) limit=${limits[$1]} status=0 result=PASSED reason=""
  local log=$out/logs/$stage.log stage_end
  say "$stage"
  stage_end=$((begin + (left < limit ? left : limit)))
  if [ "$left" -lt 10 ]; then
    result=SKIPPED reason="no time was left of $minutes minutes"
  else
    (set +e; trap - EXIT; "stage_$stage") >"$log" 2>&1 || status=$?
    case $status in
      0) ;;
      77) result=SKIPPED reason=$(tail -1 "$log") ;;
      124 | 137) result=FAILED reason="stopped after $((SECONDS - begin)) s" ;;
      *) result=FAILED reason="exit status $status" ;;
    esac
  fi
  printf '%s\t%s\t%s\t%s\n' "$stage" "$result" $((SECONDS - begin)) "$reason" >>"$out/data/stages.tsv"
  echo "$result in $((SECONDS - begin)) s${reason:+: $reason}"
  [ "$result" != FAILED ] || tail -5 "$log"
}

# For stages: what is left of their time, a command within it, the end where something is missing, and what they have to
# tell.
time_left() { echo $((stage_end > SECONDS ? stage_end - SECONDS : 0)); }
limited() { timeout --kill-after=5 "$(($(time_left) + 1))" "$@"; }
skip() { echo "$*"; exit 77; }
note() { printf '%s\t%s\n' "$stage" "$*" | tee -a "$out/data/notes.tsv"; }
failure() { printf '%s\t%s\t%s\n' "$stage" "$1" "$2" >>"$out/data/failures.tsv"; }

# Where nvidia-smi sees a GPU, to be skipped for lack of one is no excuse.
blind() { echo "$1 found no GPU to run on: the driver may be older than the CUDA toolkit"; return 1; }

# Where the build took cuDNN of Python's packages: when it runs, it opens NVRTC and parts of its own by their names,
# which lie in folders of those packages that programs do not look into.
use_package_libraries() {
  local cudnn folder
  cudnn=$(sed -n 's/^LPW_CUDNN_LIBRARY:[A-Z]*=//p' "$build/CMakeCache.txt" 2>/dev/null)
  [[ $cudnn == */nvidia/cudnn/lib/* ]] || return 0
  for folder in "${cudnn%/cudnn/lib/*}"/*/lib; do LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
  export LD_LIBRARY_PATH
}

# need_program FILE: a stage fails where the build did not make its program, but for benchmarks that could not be built
# here. What it needs to run is found from then on.
need_program() {
  use_package_libraries
  if [[ $1 == */benchmarks/* ]] && [ -s "$build/no-benchmarks" ]; then skip "$(cat "$build/no-benchmarks")"; fi
  [ -x "$1" ] || { echo "$1 was not built"; exit 1; }
}

# Build

# cuDNN and cuBLAS as packages of Python, where the toolkit has none: options for CMake, one a line.
library_options() {
  local probe=$out/data/probe include="" found
  has() { printf '#include <%s>\nint main() {}\n' "$1" >"$probe.cu" &&
    nvcc -o "$probe" "$probe.cu" "-l$2" >/dev/null 2>&1; }
  package() { "$python" -c 'import glob, importlib.util as u, sys
for root in u.find_spec("nvidia").submodule_search_locations:
    print(*glob.glob(f"{root}/{sys.argv[1]}"), sep="\n")' "$1" 2>/dev/null | sed -n '/./{p;q}'; }
  if ! has cudnn.h cudnn; then
    found=$(package 'cudnn/lib/libcudnn.so.*') || true
    [ -z "$found" ] || { echo "-DLPW_CUDNN_LIBRARY=$found"; include=$(dirname "$(package cudnn/include/cudnn.h)"); }
  fi
  if ! has cublas_v2.h cublas; then
    for name in cublas cublasLt; do
      found=$(package "c*/lib/lib$name.so.*") || true
      [ -z "$found" ] || echo "-DCUDA_${name}_LIBRARY=$found"
    done
    found=$(package 'c*/include/cublas_v2.h') || true
    [ -z "$found" ] || include+=${include:+;}$(dirname "$found")
  fi
  [ -z "$include" ] || echo "-DLPW_CUDNN_INCLUDE=$include"
}

# Why Google Benchmark of LPW_DEPS_DIR cannot be used here: it is compiled, and may ask for a later C library.
benchmark_trouble() {
  local library
  for library in "${LPW_DEPS_DIR:-}"/lib/libbenchmark.so*; do
    [ ! -e "$library" ] || python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$library" 2>&1 | tail -1
  done
}

configure() {  # configure ON|OFF: with benchmarks or without
  limited cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CUDA_ARCHITECTURES=$arch-real" \
    "-DCMAKE_CUDA_FLAGS_RELEASE=-O1 -DNDEBUG" "-DCMAKE_PREFIX_PATH=${LPW_DEPS_DIR:-}" -DLPW_CUDA=ON -DLPW_ONEDNN=OFF \
    -DLPW_EMULATOR=OFF -DLPW_UNITE=OFF -DLPW_BUILD_EXAMPLES=OFF "-DLPW_BUILD_BENCHMARKS=$1" "${options[@]}"
}

# All that can be built is, whatever fails. Host code is compiled with -O1: most of the time goes to it.
stage_build() {
  local options trouble target failed=0 targets=(lpw_test_cuda bench_cuda)
  mapfile -t options < <(library_options)
  rm -f "$build/no-benchmarks"
  trouble=$(benchmark_trouble)
  if [ -n "$trouble" ] || ! configure ON; then
    configure OFF || exit 1
    targets=(lpw_test_cuda)
    echo "benchmarks are left out: ${trouble:-they cannot be configured here, see logs/build.log}" \
      >"$build/no-benchmarks"
    note "$(cat "$build/no-benchmarks")"
  fi
  for target in "${targets[@]}"; do  # the tests first, which more depends on
    limited cmake --build "$build" --parallel "$(build_jobs)" --target "$target" -- -k 0 || failed=1
  done
  return $failed
}

# Tests

stage_tests() {
  need_program "$build/tests/cuda/lpw_test_cuda"
  # Several at a time: each is a process of its own, most of whose time is spent on waking the GPU and its libraries.
  limited ctest --test-dir "$build" --parallel 8 --label-regex '^gpu$' --output-on-failure --timeout 60 \
    --no-tests=error --output-junit "$out/data/tests.xml" || return
  grep -q 'status="run"' "$out/data/tests.xml" || blind "all tests"
}

# Files of tests/cuda with the tests of kernels, graphs and steps: not those of libraries' calls and of whole networks,
# of which little is our kernels, and not of the large layer, whose plans others have with less work. The largest come
# first, so that none of them is left for the end.
kernel_tests() {
  find tests/cuda -name '*.cpp' -printf '%s %f\n' | sort -rn | sed 's/.* //; s/\.cpp$//' |
    grep -vxE 'main|conv2d|linear|tensor|text|network|language_model|batch_norm_large'
}

# sanitize_file TOOL FILE: the cases of one file of tests. Errors of CUDA's functions are not the tools' business: tests
# cause some.
sanitize_file() {
  local tool=$1 file=$2 log=$out/logs/$1-$2.log status=0 seconds
  seconds=$(time_left)
  [ "$seconds" -ge 5 ] || { note "$tool of tests/cuda/$file.cpp was not begun: no time was left"; return 0; }
  timeout --kill-after=5 "$seconds" compute-sanitizer --tool "$tool" --error-exitcode 99 --report-api-errors no \
    --kernel-name kns=lpw7kernels "$build/tests/cuda/lpw_test_cuda" -# "[#$file]" >"$log" 2>&1 || status=$?
  if grep -q 'Device not supported' "$log"; then
    grep -m1 'Device not supported' "$log" | sed 's/^=* *//' >"$out/data/$tool.unsupported"
    return 0
  fi
  if grep -qE '^=+ (Invalid|Misaligned|Error:|Warning: Race|Program hit)|No test cases matched|^SKIPPED:' "$log"; then
    status=99
  elif grep -q 'Internal Sanitizer Error' "$log"; then  # then what the program did is not its own fault
    note "$tool of tests/cuda/$file.cpp: $(grep -m1 'Internal Sanitizer Error' "$log" | sed 's/^=* *//')"
    return 0
  fi
  case $status in
    0) echo "$file: no errors" | tee -a "$out/data/$tool.finished" ;;
    124 | 137) note "$tool of tests/cuda/$file.cpp was stopped after $seconds s, without an error until then" ;;
    *) echo "$file: FAILED with exit status $status"; failure "$file" "$log"; return 1 ;;
  esac
}

# sanitize TOOL: four files at a time, since most of a test's time goes to the host.
sanitize() {
  local file failed=$out/data/$1.failed
  command -v compute-sanitizer >/dev/null || skip "there is no compute-sanitizer, a part of the CUDA toolkit"
  need_program "$build/tests/cuda/lpw_test_cuda"
  note "$1 runs on the kernels' tests only (not convolutions, linear layers, whole networks)," \
    "and looks at lpw's kernels only"
  for file in $(kernel_tests); do
    [ ! -e "$out/data/$1.unsupported" ] || break
    while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n; done
    { sanitize_file "$1" "$file" || echo "$file" >>"$failed"; } &
  done
  wait
  [ ! -e "$failed" ] || return
  [ ! -e "$out/data/$1.unsupported" ] ||
    skip "compute-sanitizer cannot be used on this machine: $(cat "$out/data/$1.unsupported")"
  [ -s "$out/data/$1.finished" ] || skip "compute-sanitizer came to the end of no file"
}
stage_memcheck() { sanitize memcheck; }
stage_racecheck() { sanitize racecheck; }

# Benchmarks. The programs begin nothing when their time is over, and say so.

# measured WHAT COMMAND...: within the stage's time. To be stopped at its end is no failure: such programs write what
# they have as they go.
measured() {
  local status=0
  limited "${@:2}" || status=$?
  case $status in
    124 | 137) note "$1 was stopped at the end of its time" ;;
    77) blind "$1" ;;
    *) return $status ;;
  esac
}

google_benchmark() {  # google_benchmark PROGRAM [OPTION]...
  local program=$build/benchmarks/bench_cuda_$1
  need_program "$program"
  measured "$1" "$program" "--limit=$(($(time_left) - 5))" "--benchmark_out=$out/data/$1.json" \
    --benchmark_out_format=json "${@:2}" || return
  python3 benchmarks/cuda/kernel_table.py "$out/data/$1.json"  # fails where a benchmark did
}
stage_kernels() { google_benchmark kernels; }
stage_batch_norm() { google_benchmark batch_norm '--benchmark_filter=/(bf16|fp32)/'; }

steps() {  # steps NAME OPTION...
  need_program "$build/benchmarks/bench_cuda_step"
  measured bench_cuda_step "$build/benchmarks/bench_cuda_step" "${@:2}" --limit $(($(time_left) - 10)) \
    --json "$out/data/$1.jsonl"
}
stage_steps() { steps steps wrn-16-4 wrn-28-10 lstm --precision tf32,bf16 --members 1,10 --seconds 0.5; }

# All kernels are loaded at the start, not each when it is first launched: no time of a step depends on that.
stage_eager() {
  CUDA_MODULE_LOADING=EAGER steps eager wrn-16-4 lstm --precision bf16 --members 1,10 --seconds 0.5
}

# What cuDNN has to say of a step: warnings and errors, of which there should be none.
stage_cudnn() {
  local log=$out/logs/cudnn-log.txt
  need_program "$build/benchmarks/bench_cuda_step"
  CUDNN_LOGLEVEL_DBG=2 CUDNN_LOGDEST_DBG=$log limited "$build/benchmarks/bench_cuda_step" wrn-16-4 --precision bf16 \
    --members 4 --seconds 0.1 || return
  [ -e "$log" ] || { echo "cuDNN has no warning and no error"; return 0; }
  grep -aE '^[EW]!' "$log" | sort | uniq -c | sort -rn | head -20
  note "cuDNN's log has $(grep -acE '^[EW]!' "$log") warnings and errors, see logs/cudnn-log.txt"
}

# peer PART SCRIPT NAME ARGUMENT...: a program of benchmarks/peers, which begins nothing after 1 / PART of the time that
# is left.
peer() {
  measured "$2 ($3)" "$python" "benchmarks/peers/$2" --device cuda --members 10,1 --limit $(($(time_left) / $1)) \
    --json "$out/data/torch-${2%.py}-$3.jsonl" "${@:4}" || { failure "$2 ($3)" "$out/logs/torch.log"; return 1; }
}

# torch.compile's variants come last: compiling takes most of their time.
stage_torch() {
  local failed=0
  limited "$python" -c \
    'import torch; assert int(torch.__version__.split(".")[0]) >= 2 and torch.cuda.is_available()' 2>/dev/null ||
    skip "$python has no PyTorch 2 or later that sees the GPU; set LPW_TORCH_PYTHON to one that has"
  note "torch.compile only for batch norm and for one network and way to have members;" \
    "graphs of PyTorch only for K modules in a loop"
  peer 3 batch_norm.py all --precision bf16,fp32 --samples 15 \
    --variants \
    loop-channels_last,loop-channels_last-graph,loop,grouped,vmap,vmap-compile,stacked-channels_last-compile ||
    failed=1
  peer 2 image_network.py eager wrn-16-4 wrn-28-10 --precision tf32,bf16 --samples 3 \
    --variants loop-channels_last,loop-channels_last-graph,stacked-channels_last || failed=1
  peer 2 lstm.py eager --precision tf32,bf16 --samples 5 --variants loop,loop-graph || failed=1
  peer 1 image_network.py compiled wrn-16-4 --precision bf16 --samples 3 --variants stacked-channels_last-compile ||
    failed=1
  return $failed
}
