#!/usr/bin/env bash
# Usage: scripts/interop.sh
# The tests that hold lpw's files, networks and optimizers against NumPy, safetensors, TensorBoard, PyTorch and
# onnxruntime, with all that they need, so that none is skipped as scripts/test.sh does where there is no PyTorch: pip
# installs what is missing into build/python. Its PyTorch may bring CUDA's libraries, several GB; with PIP_INDEX_URL set
# to PyTorch's own index of packages for the CPU it is some 200 MB. Environment:
#   LPW_PYTHON     Python that has numpy, safetensors, tensorboard, torch, torchvision, onnx and onnxruntime (default:
#                  the one in build/python)
#   LPW_PRESET     the build that is tested (ci, which scripts/test.sh builds)
source "$(dirname -- "$0")/common.sh"
show_help "$@"
[ $# = 0 ] || die "unknown argument '$1' (see --help)"

packages=(numpy safetensors tensorboard torch torchvision onnx onnxruntime)
preset=${LPW_PRESET:-ci} python=${LPW_PYTHON:-$PWD/build/python/bin/python}
has_all() { "$python" -c "import $(IFS=,; echo "${packages[*]}")"; }
if ! has_all 2>/dev/null; then
  [ -z "${LPW_PYTHON:-}" ] || die "LPW_PYTHON=$LPW_PYTHON: $(has_all 2>&1 | tail -1); it needs ${packages[*]}"
  say "Python"
  [ -x "$python" ] || python3 -m venv --system-site-packages build/python
  "$python" -m pip install --retries 1 --timeout 60 "${packages[@]}"
  has_all
fi

say "Build"
cmake --preset "$preset" -DPython3_EXECUTABLE="$python"
cmake --build --preset "$preset" --parallel "$(build_jobs)" --target lpw_interop

say "Tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ctest --preset "$preset" -L '^interop$' --no-label-summary | tee "$log"
! grep -q '\*\*\*Skipped' "$log" || die "some tests were skipped; ctest --preset $preset -L interop -V says why"
