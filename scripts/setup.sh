#!/usr/bin/env bash
# Usage: scripts/setup.sh
# Installs what building and testing lpw needs on Debian 12, Ubuntu 24.04 or later, as root or with sudo. Does nothing
# where it is all there. What is optional is installed where it can be had: libdnnl-dev (oneDNN: convolutions are
# several times faster), libopenmpi-dev and openmpi-bin (MPI: members in several processes), libturbojpeg0-dev and
# libpng-dev (JPEG and PNG files), gnuplot-nox (scripts/plot.sh), doxygen and libjs-lunr (scripts/docs.sh), webp,
# Python, Node.js, clang-format, clang, libc++, libomp and pkg-config (tests that are skipped without).
source "$(dirname -- "$0")/common.sh"
show_help "$@"
[ $# = 0 ] || die "unknown argument '$1' (see --help)"

required=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev catch2 libbenchmark-dev libcli11-dev
  libtomlplusplus-dev libprotozero-dev libboost-context-dev)
optional=(libdnnl-dev libopenmpi-dev openmpi-bin libturbojpeg0-dev libpng-dev webp gnuplot-nox python3 python3-venv
  python3-numpy clang-format-14 clang libc++-dev libc++abi-dev libomp-dev pkg-config doxygen doxygen-awesome-css
  libjs-lunr nodejs)

# What is lost without an optional package.
without() {
  case $1 in
    libdnnl-dev) echo "convolutions will be several times slower" ;;
    libopenmpi-dev | openmpi-bin) echo "members train in one process only, and the tests of several are skipped" ;;
    libturbojpeg0-dev | libpng-dev) echo "programs do not read JPEG or PNG files, and tests of it are skipped" ;;
    gnuplot-nox) echo "scripts/plot.sh will draw nothing, and its test is skipped" ;;
    doxygen-awesome-css) echo "scripts/docs.sh makes a plainer site" ;;
    libjs-lunr) echo "the site of scripts/docs.sh finds names alone, and a test of it is skipped" ;;
    *) echo "some tests will be skipped" ;;
  esac
}
skip() { for package in "$@"; do echo "Not installed (optional): $package; $(without "$package")"; done; }

# The presets need CMake 3.25, which older distributions do not have.
check_cmake() {
  local version
  version=$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
  [ "$(printf '%s\n' 3.25 "${version:-0}" | sort -V | head -1)" = 3.25 ] ||
    die "CMake 3.25 or later is needed, found ${version:-none}:" \
      "pip install cmake, or take Debian 12 or Ubuntu 24.04 or later"
}

if ! command -v apt-get >/dev/null; then
  for tool in c++ cmake ninja; do
    command -v "$tool" >/dev/null ||
      die "this is not Debian or Ubuntu (no apt-get), and $tool is missing;" \
        "install the equivalents of: ${required[*]}"
  done
  check_cmake
  echo "No apt-get here, so nothing is installed." \
    "If configuring names something missing, install the equivalents of: ${required[*]}"
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
  check_cmake
  echo "All packages are installed."
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null; then
    as_root=(sudo)
  elif [ ${#missing[@]} = 0 ]; then
    check_cmake
    echo "Neither root nor sudo, so nothing is installed."
    skip "${wanted[@]}"
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
  apt install -y --no-install-recommends "$package" || skip "$package"
done
check_cmake
