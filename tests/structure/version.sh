#!/usr/bin/env bash
# Usage: version.sh ROOT
# The version in include/lpw/version.hpp is that of CHANGELOG.md's first entry and of vcpkg's port, which cannot read
# it. CMake and Conan do, and with them all other packages. Prints what differs.
set -euo pipefail
root=${1:?usage: version.sh ROOT}
cd "$root"
version=$(sed -nE 's/^#define LPW_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' include/lpw/version.hpp | paste -sd.)
bad=0
expect() {  # expect FILE FOUND
  [ "$2" = "$version" ] || { echo "$1: version $2, but include/lpw/version.hpp has $version"; bad=1; }
}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "include/lpw/version.hpp: no version but '$version'"; bad=1; }
expect CHANGELOG.md "$(sed -nE 's/^## ([0-9.]+).*/\1/p' CHANGELOG.md | head -1)"
expect cmake/vcpkg/lpw/vcpkg.json "$(sed -nE 's/^ *"version-semver": "(.*)",$/\1/p' cmake/vcpkg/lpw/vcpkg.json)"
exit $bad
