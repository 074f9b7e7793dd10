#!/usr/bin/env bash
# Where nvcc cannot compile for the instruction set of the host's other files, as old ones cannot beside a new GCC, its
# files do without, and the others keep it. The nvcc here is one that refuses every -march.
# usage: nvcc_march.sh ROOT NVCC OPTION...   with the options for CMake that say where CUDA and cuDNN are: an nvcc that
# is a script which calls the real one, as some machines have it, does not tell
set -euo pipefail
root=$1 nvcc=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/nvcc" <<EOS
#!/usr/bin/env bash
case "\$*" in *-march=*) echo "amxintrin.h(42): error: identifier is undefined" >&2; exit 2 ;; esac
exec "$nvcc" "\$@"
EOS
chmod +x "$folder/nvcc"
options=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DLPW_CUDA=ON -DLPW_MARCH=native "$@"
  -DLPW_BUILD_TESTS=OFF -DLPW_BUILD_BENCHMARKS=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
for name in old new; do
  compiler=$nvcc
  [ $name = new ] || compiler=$folder/nvcc
  cmake -S "$root" -B "$folder/$name" "${options[@]}" "-DCMAKE_CUDA_COMPILER=$compiler" >"$folder/log" 2>&1 ||
    { tail -20 "$folder/log"; exit 1; }
  commands=$folder/$name/compile_commands.json
  march=$(grep -c 'Xcompiler=-march=native' "$commands" || true)
  others=$(grep -v 'Xcompiler=' "$commands" | grep -c -- '-march=native' || true)
  said=$(grep -c 'nvcc cannot compile for -march=native' "$folder/log" || true)
  echo "$name nvcc: $march of its files and $others others for -march=native, said $said times that it cannot"
  case "$name $((march > 0)) $said $((others > 0))" in "old 0 1 1" | "new 1 0 1") ;; *) exit 1 ;; esac
done
