#!/usr/bin/env bash
# Usage: scripts/setup.sh
# Installs what building and testing lpw needs on Debian or Ubuntu, as root or with sudo. Does nothing where it is all there.
source "$(dirname "$0")/common.sh"
show_help "$@"
[ $# = 0 ] || die "unknown argument '$1' (see --help)"

required=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libdnnl-dev catch2 libbenchmark-dev libcli11-dev libboost-context-dev)
# Without these some tests are skipped and plots are not drawn.
optional=(webp gnuplot-nox python3 python3-venv python3-numpy clang-format-14)

if ! command -v apt-get >/dev/null; then
  for tool in c++ cmake ninja; do
    command -v "$tool" >/dev/null || die "this is not Debian or Ubuntu (no apt-get), and $tool is missing; install the equivalents of: ${required[*]}"
  done
  echo "No apt-get here, so nothing is installed. If configuring names something missing, install the equivalents of: ${required[*]}"
  exit 0
fi

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
missing_of() {
  for package in "$@"; do
    installed "$package" || echo "$package"
  done
}
mapfile -t missing < <(missing_of "${required[@]}")
mapfile -t wanted < <(missing_of "${optional[@]}")
if [ $((${#missing[@]} + ${#wanted[@]})) = 0 ]; then
  echo "All packages are installed."
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null; then
    as_root=(sudo)
  elif [ ${#missing[@]} = 0 ]; then
    echo "Not installed, for want of root or sudo; some tests will be skipped: ${wanted[*]}"
    exit 0
  else
    die "packages are missing, and this is neither root nor is there sudo; as root: apt-get install ${missing[*]}"
  fi
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"; }

apt update || echo "apt-get update failed; trying with the package lists at hand"
if [ ${#missing[@]} != 0 ]; then
  apt install -y --no-install-recommends "${missing[@]}" || die "could not install: ${missing[*]}"
fi
for package in "${wanted[@]}"; do
  apt install -y --no-install-recommends "$package" || echo "Not installed, some tests will be skipped: $package"
done
