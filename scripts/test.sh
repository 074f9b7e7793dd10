#!/usr/bin/env bash
# Usage: scripts/test.sh
# Everything a change must pass: installs what is missing, builds all programs with warnings as errors, and runs all tests, first those
# under the sanitizers, then those of the release build. With a CUDA toolkit nvcc compiles the CUDA programs; those tests need a GPU to run.
# Environment:
#   LPW_TEST_DATA   folder with CIFAR-10 images in a form of their own and the unpack_cifar10.py that makes its binary files of them
#   LPW_CIFAR10_DIR folder with CIFAR-10's binary files; without either, tests that need them are skipped
#   LPW_PYTHON      Python with numpy and safetensors, for the tests of files that others read (default: one made in build/python)
source "$(dirname "$0")/common.sh"
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
if [ -z "${LPW_PYTHON:-}" ]; then
  python=$PWD/build/python/bin/python
  can_read() { "$1" -c 'import numpy, safetensors' 2>/dev/null; }
  if can_read python3; then
    LPW_PYTHON=$(command -v python3)
  elif can_read "$python" || { python3 -m venv --system-site-packages build/python &&
                               timeout 300 "$python" -m pip install --quiet --retries 1 --timeout 15 numpy safetensors && can_read "$python"; }; then
    LPW_PYTHON=$python
  fi
fi
options=(-DLPW_WERROR=ON ${LPW_PYTHON:+"-DPython3_EXECUTABLE=$LPW_PYTHON"})
echo "Python with numpy and safetensors: ${LPW_PYTHON:-not there, tests that need it are skipped}"

say "Release build ($jobs jobs)"
cmake --preset release "${options[@]}" -DLPW_EMULATOR=OFF  # the sanitizers' build tests the kernels
cmake --build --preset release --parallel "$jobs"

say "Sanitizer build ($jobs jobs)"
cmake --preset asan "${options[@]}"
cmake --build --preset asan --parallel "$jobs"

say "Tests under the sanitizers"
ctest --preset asan --parallel "$jobs" --no-label-summary

say "CUDA"
kernels='^structure\.kernel_resources_'
if ctest --preset release -N -R "$kernels" | grep -q 'Total Tests: 0'; then
  echo "There is no nvcc with cuBLAS and cuDNN: the CUDA programs were not compiled. The emulator runs the kernels all the same."
else
  echo "nvcc compiled the CUDA backend, its tests, the trainers and the benchmarks. What each kernel takes:"
  ctest --preset release -R "$kernels" --verbose --no-label-summary
fi

say "Tests of the release build"
ctest --preset release --parallel "$jobs" --no-label-summary -E "$kernels"
