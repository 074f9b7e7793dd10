# shellcheck shell=bash
# Sourced by the other scripts, never run: starts in the project's root, stops at the first error, prints the help.
set -euo pipefail
export LC_ALL=C.UTF-8  # awk writes and reads numbers with a point
unset CDPATH  # by which cd goes elsewhere and says so
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
# die MESSAGE...: one line, whatever a name in it has (a newline, a terminal's escape sequence), and the end.
die() {
  local line="$0: $*"
  printf '%s\n' "${line//[[:cntrl:]]/?}" >&2
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

# set_option --NAME VALUE ...: sets the variable NAME; files and folders are as the caller means them, and counts are
# decimal (to bash 010 is eight).
set_option() {
  [ $# -ge 2 ] || die "$1 needs a value (see --help)"
  local least=1
  case $1 in
    --build | --json | --out) declare -g "${1#--}=$(absolute "$2")" ;;
    --batch | --images | --cores | --iterations | --members | --minutes | --processes | --replicated | --rounds | \
      --samples | --seconds | --threads)
      case $1 in --batch | --images) least=0 ;; esac  # which is all, or what is usual
      [[ $2 =~ ^[0-9]{1,9}$ && $((10#$2)) -ge $least ]] ||
        die "$1: expected a whole number from $least to 999999999, found $2"
      declare -g "${1#--}=$((10#$2))" ;;
    *) declare -g "${1#--}=$2" ;;
  esac
}

is_empty() { (shopt -s nullglob dotglob; files=("$1"/*); [ ${#files[@]} = 0 ]); }

# own_folder FOLDER: makes it. What is in it may be removed from then on; a folder that has files and was not made so
# stays as it is.
own_folder() {
  local marker=$1/.lpw-made
  [ ! -e "$1" ] || [ -f "$marker" ] || { [ -d "$1" ] && is_empty "$1"; } ||
    die "$1 is there and not of an earlier call: choose another folder, or move it elsewhere"
  mkdir -p -- "$1"
  touch -- "$marker"
}

# Compilers of this template code take up to 2 GB each.
build_jobs() {
  local cores memory jobs
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null || echo "$cores")
  jobs=$((memory < cores ? memory : cores))
  echo $((jobs > 0 ? jobs : 1))
}
