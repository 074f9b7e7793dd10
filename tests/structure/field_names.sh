#!/usr/bin/env bash
# Usage: field_names.sh ROOT
# Messages of the library name fields, in backticks; only programs have --options. Prints every line that does
# otherwise.
set -euo pipefail
root=${1:?usage: field_names.sh ROOT}
cd "$root"
if grep -rnE '"[^"]*--[a-z]' include --include='*.hpp'; then
  echo "a message of the library names an option of a program (above); name the field in backticks"
  exit 1
fi
