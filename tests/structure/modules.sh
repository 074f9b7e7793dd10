#!/usr/bin/env bash
# Usage: modules.sh ROOT
# docs/models.md names every module of include/lpw/nn and every network of include/lpw/models: structs of an element
# type and a device with a forward, outside of namespaces detail, but blocks of such networks. Prints what is missing.
set -euo pipefail
root=${1:?usage: modules.sh ROOT}
cd "$root"
bad=0 count=0
while read -r file name; do
  count=$((count + 1))
  grep -qF "\`nn::$name\`" docs/models.md || { echo "$file: nn::$name is not on docs/models.md"; bad=1; }
done < <(awk '
  FNR == 1 { name = ""; inside = 0 }
  /^namespace detail/ { inside = 1 }
  /^}  \/\/ namespace detail/ { inside = 0 }
  /^(struct|class) [A-Z][A-Za-z0-9]* .*\{$/ { name = $2 }
  /^}/ { name = "" }
  name != "" && !inside && name !~ /(Block|^DenseLayer)$/ && / forward\(/ { print FILENAME, name; name = "" }
' include/lpw/nn/*.hpp include/lpw/models/*.hpp)
[ "$count" -gt 0 ] || { echo "include/lpw/nn: no module found"; bad=1; }
exit $bad
