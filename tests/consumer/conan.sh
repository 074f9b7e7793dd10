#!/usr/bin/env bash
# Conan makes its package by the line that README has for it, with the profile that it detects, and runs the recipe's
# test, in a cache of its own, without a network: Eigen and nlohmann-json are this machine's. LPW_CONAN names the
# program if it is not on the PATH; scripts/test.sh puts PyPI's into build/python.
# usage: conan.sh ROOT; exits with 77 where there is no Conan 2
set -euo pipefail
root=$1
conan=${LPW_CONAN:-conan}
case $("$conan" --version 2>/dev/null || true) in
  "Conan version 2."*) ;;
  *) echo "SKIPPED: there is no Conan 2 (pip install conan; LPW_CONAN=path/to/conan)"; exit 77 ;;
esac
CONAN_HOME=$(mktemp -d)
export CONAN_HOME
trap 'rm -rf "$CONAN_HOME"' EXIT
"$conan" profile detect >"$CONAN_HOME/log" 2>&1
# Versions of the platform are not asked for in a remote, and CMake finds them as it does without Conan.
printf '%s\n' '[platform_requires]' eigen/3.4.0 nlohmann_json/3.11.2 protozero/1.7.1 >>"$CONAN_HOME/profiles/default"
# The recipe lies in the tree, its test's build does not.
cp -r "$root/cmake/conan/test_package" "$CONAN_HOME/uses_lpw"
line=$(grep -o 'conan create cmake/conan[^`]*' "$root/README.md")
cd "$root"
read -ra words <<<"${line#conan }"
# (Without optimisation, which takes as long again.)
"$conan" "${words[@]}" -o 'lpw/*:onnx=True' -s build_type=Debug --no-remote --test-folder "$CONAN_HOME/uses_lpw" \
  >"$CONAN_HOME/log" 2>&1 ||
  { tail -40 "$CONAN_HOME/log"; exit 1; }
grep -E '^lpw [0-9.]+$' "$CONAN_HOME/log"
