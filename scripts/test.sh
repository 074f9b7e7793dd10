#!/usr/bin/env bash
# Usage: scripts/test.sh
# Everything a change must pass: installs what is missing, builds all programs with warnings as errors, and runs all
# tests, first those under the sanitizers, then those of the release build. With a CUDA toolkit nvcc compiles the CUDA
# programs; those tests need a GPU to run. Environment:
#   LPW_TEST_DATA   folder with CIFAR-10 images in a form of their own and the unpack_cifar10.py that makes its binary
#                   files of them
#   LPW_CIFAR10_DIR folder with CIFAR-10's binary files; without either, tests that need them are skipped
#   LPW_PYTHON      Python with numpy and safetensors, for the tests of files that others read (default: one made in
#                   build/python); where it has tensorboard and torch as well, none of these tests is skipped: see
#                   scripts/interop.sh
#   LPW_CONAN       Conan 2, for the test of its recipe (default: the one on the PATH, or one put into build/python)
source "$(dirname -- "$0")/common.sh"
show_help "$@"
[ $# = 0 ] || die "unknown argument '$1' (see --help)"

say "Packages"
scripts/setup.sh
jobs=$(build_jobs)

say "Test data"
if [ -z "${LPW_CIFAR10_DIR:-}" ] && [ -n "${LPW_TEST_DATA:-}" ]; then
  [ -f "$LPW_TEST_DATA/unpack_cifar10.py" ] || die "LPW_TEST_DATA=$LPW_TEST_DATA: no unpack_cifar10.py there"
  unpacked=$PWD/build/data/cifar-10-batches-bin
  # The label names are written last, so that an interrupted run does not count.
  if [ -f "$unpacked/batches.meta.txt" ] || python3 "$LPW_TEST_DATA/unpack_cifar10.py" "$PWD/build/data"; then
    export LPW_CIFAR10_DIR=$unpacked
  fi
fi
echo "CIFAR-10: ${LPW_CIFAR10_DIR:-not there, tests that need it are skipped}"

say "Python"
python=$PWD/build/python/bin/python
into_python() {  # into_python PACKAGE...
  { [ -x "$python" ] || python3 -m venv --system-site-packages build/python; } &&
    timeout 300 "$python" -m pip install --quiet --retries 1 --timeout 15 "$@"
}
if [ -z "${LPW_PYTHON:-}" ]; then
  can_read() { "$1" -c 'import numpy, safetensors' 2>/dev/null; }
  if can_read "$python"; then
    LPW_PYTHON=$python
  elif can_read python3; then
    LPW_PYTHON=$(command -v python3)
  elif into_python numpy safetensors && can_read "$python"; then
    LPW_PYTHON=$python
  fi
fi
options=(-DLPW_WERROR=ON ${LPW_PYTHON:+"-DPython3_EXECUTABLE=$LPW_PYTHON"})
echo "Python with numpy and safetensors: ${LPW_PYTHON:-not there, tests that need it are skipped}"
find_conan() {
  for LPW_CONAN in ${LPW_CONAN:+"$LPW_CONAN"} conan "${python%/*}/conan"; do
    case $("$LPW_CONAN" --version 2>/dev/null || true) in "Conan version 2."*) return ;; esac
  done
  LPW_CONAN=""
  return 1
}
find_conan || { into_python 'conan>=2' && find_conan; } || true
export LPW_CONAN
echo "Conan: ${LPW_CONAN:-not there, the test of its recipe is skipped}"

# stage NAME COMMAND...: notes how long it took for the list at the end.
stages=()
stage() {
  local name=$1 begin=$SECONDS
  shift
  say "$name"
  if ! "$@"; then
    took "$begin" "$name, which failed"
    exit 1
  fi
  took "$begin" "$name"
}
took() { stages+=("$(printf '%5d s  %s' $((SECONDS - $1)) "$2")"); }
# What stages there were, and the slowest ten of what was built and of what was tested: at the end, and where a stage
# fails.
slowest_builds() {
  local preset
  for preset in ci asan x86-64-v2; do
    [ -f "build/$preset/.ninja_log" ] || continue
    awk -F'\t' -v preset="$preset" 'NR > 1 { printf "%7.1f s  %s: %s\n", ($2 - $1) / 1000, preset, $4 }' \
      "build/$preset/.ninja_log"
  done | sort -rn | awk '!seen[$0]++' | awk 'NR <= 10'
}
slowest_tests() {
  local preset
  for preset in ci asan x86-64-v2; do
    awk -v preset="$preset" '/^---/ { exit }
      { cost = $NF; sub(/ [0-9]+ [^ ]+$/, ""); printf "%7.1f s  %s: %s\n", cost, preset, $0 }' \
      "build/$preset/Testing/Temporary/CTestCostData.txt" 2>/dev/null || true
  done | sort -rn | awk 'NR <= 10'
}
lists() {
  say "Stages"
  printf '%s\n' "${stages[@]}"
  say "Slowest builds"
  slowest_builds
  say "Slowest tests"
  slowest_tests
}
log="" listed=""
conclude() {
  [ $? = 0 ] || [ -n "$listed" ] || [ ${#stages[@]} = 0 ] || lists
  [ -z "$log" ] || rm -f "$log"
}
trap conclude EXIT

build() {  # build PRESET OPTION...
  cmake --preset "$1" "${options[@]}" "${@:2}" && cmake --build --preset "$1" --parallel "$jobs"
}
run_tests() {  # run_tests PRESET OPTION...
  ctest --preset "$1" --parallel "$jobs" --no-label-summary "${@:2}"
}

# Vectors of four, eight and, where the machine has them, more floats: what only fails with some of them fails here. The
# sanitizers' build is the one of eight.
supports() { [ "$(uname -m)" = x86_64 ] && grep -qw "$1" /proc/cpuinfo; }

# A GPU's programs are for its own architecture.
if nvidia-smi -L 2>/dev/null | grep -q GPU; then gpu=(-DCMAKE_CUDA_ARCHITECTURES=native); fi
stage "Release build ($jobs jobs)" build ci ${gpu[@]+"${gpu[@]}"}
sanitizer=() v2=()
if supports avx2; then sanitizer=(-DLPW_MARCH=x86-64-v3); fi
# Clang is another compiler than the release build's, finds more (null pointers that are moved), and takes half of the
# time.
has_sanitizers() {
  local folder status=0
  folder=$(mktemp -d)
  printf '%s\n' '#if __clang_major__ < 14' '#error' '#endif' 'int main() {}' >"$folder/main.cpp"
  { "$1" -fsanitize=address,undefined "$folder/main.cpp" -o "$folder/main" && "$folder/main"; } 2>/dev/null || status=1
  rm -rf "$folder"
  return $status
}
# by_clang PRESET: CMake's options. It forgets others where a folder's compiler changes, unless it begins anew.
by_clang() {
  local cached
  echo -DCMAKE_CXX_COMPILER=clang++
  cached=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "build/$1/CMakeCache.txt" 2>/dev/null || true)
  case ${cached##*/} in '' | clang++) ;; *) echo --fresh ;; esac
}
if has_sanitizers clang++; then
  mapfile -t -O "${#sanitizer[@]}" sanitizer < <(by_clang asan)
  mapfile -t v2 < <(by_clang x86-64-v2)
fi
stage "Sanitizer build ($jobs jobs)" build asan ${sanitizer[@]+"${sanitizer[@]}"}
stage "Tests under the sanitizers" run_tests asan
if supports sse4_2; then
  stage "Build for x86-64-v2 ($jobs jobs)" build x86-64-v2 ${v2[@]+"${v2[@]}"}
  stage "CPU tests for x86-64-v2" run_tests x86-64-v2
fi

kernels='^structure\.kernel_'
if ctest --preset ci -N -R "$kernels" | grep -q 'Total Tests: 0'; then
  say "CUDA"
  echo "There is no nvcc with cuBLAS and cuDNN: the CUDA programs were not compiled." \
    "The emulator runs the kernels all the same."
else
  # What disassembles the kernels is 6 MB where the toolkit came without it.
  nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' build/ci/CMakeCache.txt)
  find_nvdisasm() {
    local path
    path=$("$1" -B tests/structure/machine_code.py --find "$nvcc" 2>/dev/null) && PATH=$PATH:$(dirname -- "$path")
  }
  say "CUDA: nvcc compiled the backend, its tests, the trainers and the benchmarks. What each kernel takes:"
  find_nvdisasm "${LPW_PYTHON:-python3}" || find_nvdisasm "$python" ||
    { into_python nvidia-cuda-nvdisasm && find_nvdisasm "$python"; } ||
    echo "There is no nvdisasm: tests that need it are skipped."
  stage "Machine code of the kernels" ctest --preset ci -R "$kernels" --parallel "$jobs" --verbose --no-label-summary
fi

# ctest's summary comes last, so it is kept until the lists have been printed; where tests fail they are printed as
# well.
log=$(mktemp)
say "Tests of the release build"
begin=$SECONDS status=0
run_tests ci -E "$kernels" | tee "$log" || status=$?
took "$begin" "Tests of the release build"
took 0 "in all"
lists
listed=1
say "Tests of the release build, in short"
sed -n '/tests passed, /,$p' "$log"
exit "$status"
