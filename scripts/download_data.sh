#!/usr/bin/env bash
# Usage: scripts/download_data.sh cifar10|cifar100|enwik8 DIR
# Fetches a data set from its author's site into DIR, checks it against its published MD5 sum and unpacks it. An
# interrupted download is continued by the next call, or begun again where that fails; a file with a wrong sum is
# removed. Needs curl or wget, and unzip for enwik8.
# LPW_DATA_URL names another place to fetch the same file from (a mirror or file:///...).
set -euo pipefail
unset CDPATH

die() { local line="download_data.sh: $*"; printf '%s\n' "${line//[[:cntrl:]]/?}" >&2; exit 1; }
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' <"$0"; }  # the comment above
need() { command -v "$1" >/dev/null || die "$1 is needed and not installed"; }

case ${1:-} in -h | --help) usage; exit 0 ;; esac
[ $# -eq 2 ] || { usage >&2; exit 2; }
name=$1 directory=$2

# archive: what is fetched. result: what it holds. The sum is the archive's, or for enwik8 that of the unpacked file.
case $name in
  cifar10)
    url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz md5=c32a1d4ab5d03f1284b67883e8d87530
    archive=cifar-10-binary.tar.gz result=cifar-10-batches-bin complete=cifar-10-batches-bin/test_batch.bin ;;
  cifar100)
    url=https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz md5=03b5dce01913d631647c71ecec9e9cb8
    archive=cifar-100-binary.tar.gz result=cifar-100-binary complete=cifar-100-binary/train.bin ;;
  enwik8)
    url=https://mattmahoney.net/dc/enwik8.zip md5=a1fa5ffddb56f4953e226637dabbb36a
    archive=enwik8.zip result=enwik8 complete=enwik8 ;;
  *) die "unknown data set '$name': expected cifar10, cifar100 or enwik8" ;;
esac
url=${LPW_DATA_URL:-$url}

download() {  # download FILE: continues what is there of it
  if command -v curl >/dev/null; then
    curl --fail --location --retry 3 --connect-timeout 20 --continue-at - --output "$1" --url "$url"
  elif command -v wget >/dev/null; then
    wget --continue --tries=3 --connect-timeout=20 --output-document="$1" -- "$url"
  else
    die "curl or wget is needed and neither is installed"
  fi
}

discard() { rm -rf "$part" "$unpacked"; die "$url: $*; nothing was kept, try again"; }
sum() { md5sum "$1" | cut -d' ' -f1; }
check() { local found; found=$(sum "$1"); [ "$found" = "$md5" ] || discard "expected MD5 $md5, found $found"; }

need md5sum
if [ "$name" = enwik8 ]; then need unzip; else need tar; need gzip; fi
mkdir -p -- "$directory" || die "$directory: cannot be made"
case $directory in /*) ;; *) directory=./$directory ;; esac  # "cd -" would go elsewhere
cd "$directory" || die "$directory: cannot be entered"

part=$archive.part unpacked=$archive.unpacked
whole() {  # whether an earlier call fetched everything; asking a server to continue a whole file is an error
  [ -f "$part" ] &&
    if [ "$name" = enwik8 ]; then unzip -tqq "$part" >/dev/null 2>&1; else [ "$(sum "$part")" = "$md5" ]; fi
}
size() { stat -c %s "$part" 2>/dev/null || echo 0; }
reachable() {
  if command -v curl >/dev/null; then
    curl --fail --silent --location --head --connect-timeout 20 --output /dev/null --url "$url"
  else
    wget --quiet --spider --tries=1 --timeout=20 -- "$url"
  fi
}

# What cannot be continued (the server knows no ranges, what is there is damaged or of another file) is fetched once
# more from its start. Where the network is the trouble, what is there is kept.
fetch() {
  local before
  before=$(size)
  if download "$part"; then
    if [ "$before" = 0 ] || whole; then return; fi
  elif [ "$before" = 0 ] || [ "$(size)" -gt "$before" ] || ! reachable; then
    return 1
  fi
  echo "download_data.sh: the $before bytes of an earlier call cannot be continued; fetching from the start" >&2
  rm -f "$part"
  download "$part"
}

if [ -e "$complete" ]; then
  echo "$PWD/$result is there already"
else
  [ ! -e "$result" ] || die "$PWD/$result is in the way and incomplete: move it elsewhere"
  whole || fetch || die "$url: could not be fetched (is there a network?); what came is continued by the next call"
  rm -rf "$unpacked"
  mkdir "$unpacked"
  if [ "$name" = enwik8 ]; then
    unzip -q "$part" -d "$unpacked" || discard "not a whole zip archive"
    [ -f "$unpacked/$result" ] || discard "no file $result in the archive"
    check "$unpacked/$result"
  else
    check "$part"
    tar -xzf "$part" -C "$unpacked" || discard "cannot be unpacked (is the disk full?)"
  fi
  mv "$unpacked/$result" "$result"  # in one step, so that what bears the name is complete
  rm -rf "$part" "$unpacked"
  echo "$PWD/$result is complete"
fi

case $name in
  enwik8) echo "Next: build/release/examples/enwik8 --data $PWD/$result" ;;
  *) echo "Next: build/release/examples/cifar --data $PWD --dataset $name" ;;
esac
