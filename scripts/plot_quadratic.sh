#!/usr/bin/env bash
# Usage: scripts/plot_quadratic.sh [--out FILE.png] [--] DIR
# Draws what the program noisy_quadratic has written to a folder: the loss over minibatches, at constant and at decaying
# rates, and the steady state over the number of members. Lines are closed forms, points the simulation, with bars of
# three standard errors. The picture is FILE.png, or curves.png in the folder. Needs gnuplot.
set -euo pipefail
export LC_ALL=C.UTF-8  # awk writes and reads numbers with a point
unset CDPATH
die() { local line="plot_quadratic.sh: $*"; printf '%s\n' "${line//[[:cntrl:]]/?}" >&2; exit 1; }
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' <"$0"; }  # the comment above

out="" folder=""
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --out) [ $# -ge 2 ] || die "--out needs the name of the picture"; out=$2; shift ;;
    --) shift; [ $# -le 1 ] || die "one folder at a time"; [ $# = 0 ] || folder=$1; break ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) [ -z "$folder" ] || die "one folder at a time"; folder=$1 ;;
  esac
  shift
done
[ -n "$folder" ] || { usage >&2; exit 2; }
command -v gnuplot >/dev/null || die "gnuplot is not installed; on Debian or Ubuntu: apt-get install gnuplot-nox"
out=${out:-$folder/curves.png}

work=$(mktemp -d)
work=$(cd -- "$work" && pwd)  # TMPDIR may be relative
trap 'rm -rf "$work"' EXIT

columns=training,readout,members,iterations,minibatches,expected,simulated,standard_error,off,limit
# curves FILE X PANEL CONDITION: the curves of one panel, each as a file of x, expected, simulated and error, and their
# names. gnuplot sees numbered files where it stands, whatever the folders are called.
curves() {
  [ -f "$folder/$1" ] || die "$folder/$1: no such file; noisy_quadratic --out $folder writes it"
  [ "$(head -1 <"$folder/$1")" = "$columns" ] || die "$folder/$1: its columns are not $columns"
  (cd -- "$work" && awk -F, -v x="$2" -v panel="$3" "
    NR == 1 { next }
    NF != 10 || \$5 !~ /^[0-9]+\$/ || (\$6 \$7 \$8) !~ /^[0-9.e+-]+\$/ {
      print \"plot_quadratic.sh: line \" NR \" of $1 is damaged\" > \"/dev/stderr\"; exit 1
    }
    $4 {
      name = \$1 \": \" \$2
      if (!(name in file)) { file[name] = panel \"-\" ++count; print file[name] \",\" name > (panel \"-names\") }
      print \$x, \$6, \$7, \$8 > file[name]
    }") <"$folder/$1" || exit 1
  [ -s "$work/$3-names" ] || die "$folder/$1: holds nothing to draw"
}
# plots PANEL STYLE: gnuplot's list of a panel's curves: a colour for each training, a dash for each kind of weights.
plots() {
  local file name before="" colour=0 dash comma=""
  while IFS=, read -r file name; do
    [ "${name%%:*}" = "$before" ] || colour=$((colour + 1))
    before=${name%%:*}
    case $name in *member) dash=2 ;; *swa) dash=3 ;; *ema) dash=4 ;; *) dash=1 ;; esac
    printf "%s'%s' using 1:2 with %s linewidth 2 dashtype %d linecolor %d title '%s'" \
      "$comma" "$file" "$2" "$dash" "$colour" "$name"
    printf ", '%s' using 1:3:(3*\$4) with yerrorbars pointtype 7 pointsize 0.4 linecolor %d notitle" "$file" "$colour"
    comma=", "
  done <"$work/$1-names"
}

chosen='$2 != "mean of members"'
curves loss.csv 5 constant "$chosen && \$1 !~ /decaying/"
curves loss.csv 5 decaying "$chosen && \$1 ~ /decaying/"
panels=2 steady=""
if [ -f "$folder/steady.csv" ]; then
  curves steady.csv 3 steady "$chosen"
  panels=3 steady="set logscale
set yrange [*:*]
set xtics 2
set xlabel 'members K, or minibatches in a large batch'
set ylabel 'steady state'
plot $(plots steady lines)"
fi

(cd -- "$work" && gnuplot -) <<PLOT || die "gnuplot failed"
set terminal pngcairo size 1100,1500 noenhanced font 'sans,10'
set output 'curves.png'
set linetype 1 linecolor rgb '#1f77b4'
set linetype 2 linecolor rgb '#7f7f7f'
set linetype 3 linecolor rgb '#d62728'
set linetype 4 linecolor rgb '#2ca02c'
set multiplot layout $panels,1
set lmargin 11
set rmargin 42
set grid linecolor rgb '#dddddd'
set key outside right Left reverse
set xlabel 'minibatches'
set yrange [0:*]
set ylabel 'excess loss, constant rates'
plot $(plots constant lines)
set ylabel 'excess loss, decaying rates'
plot $(plots decaying lines)
$steady
unset multiplot
PLOT
cp -- "$work/curves.png" "$out" || die "$out: cannot be written"
printf '%s\n' "$out"
