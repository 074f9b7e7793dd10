#!/bin/sh
# Usage: empty_object.sh COMPILER... -o FILE ...
# Runs a compiler that parses and writes nothing, and then makes an empty FILE, by which a build knows that it was done.
set -eu
"$@"
while [ "$1" != -o ]; do shift; done
: >"$2"
