# shellcheck shell=bash
# Sourced by the other scripts, never run: starts in the project's root, stops at the first error, prints the help.
set -euo pipefail
export LC_ALL=C.UTF-8  # awk writes and reads numbers with a point
unset CDPATH  # by which cd goes elsewhere and says so
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$0" "$*" >&2
  exit 1
}

# show_help "$@": prints the comment at the head of the script and exits, if asked for.
show_help() {
  case ${1:-} in
    -h | --help) awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' <"$(absolute "$0")"; exit 0 ;;
  esac
}

# absolute PATH: as the caller means it, who stands elsewhere.
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$OLDPWD/$1" ;; esac; }

# set_option --NAME VALUE ...: sets the variable NAME; files and folders are as the caller means them.
set_option() {
  [ $# -ge 2 ] || die "$1 needs a value (see --help)"
  case $1 in
    --build | --json | --out) declare -g "${1#--}=$(absolute "$2")" ;;
    *) declare -g "${1#--}=$2" ;;
  esac
}

# Compilers of this template code take up to 2 GB each.
build_jobs() {
  local cores memory jobs
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null || echo "$cores")
  jobs=$((memory < cores ? memory : cores))
  echo $((jobs > 0 ? jobs : 1))
}
