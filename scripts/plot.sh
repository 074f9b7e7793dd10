#!/usr/bin/env bash
# Usage: scripts/plot.sh [--out FILE.png] [--] RUN_DIR...
# Draws training loss, accuracy or bits per character, and learning rates over the epochs from the metrics.csv of one or
# several runs, with a dashed vertical line where members were released, into FILE.png or the curves.png of the first
# run folder. Works while a run is under way. Needs gnuplot.
set -euo pipefail
export LC_ALL=C.UTF-8  # awk writes and reads numbers with a point
unset CDPATH
die() { echo "plot.sh: $*" >&2; exit 1; }
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' <"$0"; }  # the comment above

out="" runs=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --out) [ $# -ge 2 ] || die "--out needs the name of the picture"; out=$2; shift ;;
    --) shift; runs+=("$@"); break ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) runs+=("$1") ;;
  esac
  shift
done
[ ${#runs[@]} -gt 0 ] || { usage >&2; exit 2; }
command -v gnuplot >/dev/null || die "gnuplot is not installed; on Debian or Ubuntu: apt-get install gnuplot-nox"
out=${out:-${runs[0]}/curves.png}

work=$(mktemp -d)
work=$(cd -- "$work" && pwd)  # TMPDIR may be relative
trap 'rm -rf "$work"' EXIT

# Whatever run folders and the folder of temporary files are called, gnuplot sees numbered files where it stands, and
# tools read what they do not have to open by a name (awk takes lr=0.1 for an assignment). Late-phase rates are drawn
# where there are late-phase weights.
loss="" metrics="" rates="" releases="" metric=metric
for i in "${!runs[@]}"; do
  csv=${runs[$i]}/metrics.csv colour="linecolor $((i + 1))" data="'$i'"
  [ -f "$csv" ] || die "$csv: no such file; ${runs[$i]} is not the folder of a run that has trained an epoch"
  csv=$csv LC_ALL=C awk -F, '
    BEGIN { csv = ENVIRON["csv"] }
    NR == 1 {
      for (c = 1; c <= NF; c++) column[$c] = c
      for (name in column) if (name ~ /^(test|valid)_/) { held_out = name; metric = name; sub(/^[a-z]*_/, "", metric) }
      split("epoch train_loss train_" metric " " held_out " learning_rate late_learning_rate", names, " ")
      for (n = 1; n <= 6; n++) if (!(names[n] in column)) {
        print "plot.sh: " csv ": has no column " names[n] > "/dev/stderr"; exit 1
      }
      next
    }
    { line = ""
      for (n = 1; n <= 5; n++) {
        value = $column[names[n]]
        if (names[n] == held_out && value == "" && NF >= column[held_out]) value = "?"  # an epoch that was not scored
        else if (value !~ /^[0-9.eE+-]+$/) {
          print "plot.sh: " csv ":" NR ": " names[n] " is not a number" > "/dev/stderr"; exit 1
        }
        line = line value " "
      }
      print line ($column["phase"] ~ /^late/ ? $column[names[6]] : "?"), $column["phase"] }
  ' <"$csv" >"$work/$i" || exit 1
  [ -s "$work/$i" ] || die "$csv: holds no epoch yet"
  held_out=$(head -1 <"$csv" | tr , '\n' | grep -E '^(test|valid)_' | tr -cd 'a-zA-Z0-9_')
  metric=${held_out#*_}
  case ${runs[$i]} in /*) folder=${runs[$i]} ;; *) folder=./${runs[$i]} ;; esac
  name=$(basename -- "$(cd "$folder" && pwd)" | tr -d '\n' | sed "s/'/''/g")
  released=$(LC_ALL=C awk '$7 ~ /^late/ { print $1 - 1; exit }' <"$work/$i")
  [ -z "$released" ] ||
    releases+="set arrow from first $released, graph 0 to first $released, graph 1 nohead dashtype 2 $colour"$'\n'
  loss+="$data using 1:2 with linespoints pointtype 7 pointsize 0.4 linewidth 2 $colour title '$name', "
  awk '$4 != "?" { found = 1 } END { exit !found }' <"$work/$i" &&
    metrics+="$data using 1:4 with linespoints pointtype 7 pointsize 0.4 linewidth 2 $colour \
title '$name: ${held_out%%_*}', "
  metrics+="$data using 1:3 with lines dashtype 3 linewidth 1.5 $colour title '$name: training', "
  rates+="$data using 1:5 with fsteps linewidth 2 $colour title '$name', "
  awk '$6 != "?" && $6 != $5 { found = 1 } END { exit !found }' <"$work/$i" &&
    rates+="$data using 1:6 with fsteps dashtype 2 linewidth 2 $colour title '$name: late-phase', "
done

(cd -- "$work" && gnuplot -) <<PLOT || die "gnuplot failed"
set terminal pngcairo size 900,1100 noenhanced font 'sans,11'
set output 'curves.png'
set multiplot layout 3,1
set lmargin 11
set rmargin 3
set grid linecolor rgb '#dddddd'
set key outside top center horizontal maxrows 4
set datafile missing '?'
set xrange [0:*]
$releases
set ylabel 'training loss'
plot ${loss%, }
set ylabel '$metric'
plot ${metrics%, }
set ylabel 'learning rate'
set xlabel 'epochs trained (dashed vertical: release)'
set yrange [0:*]
set offsets 0, 0, graph 0.05, 0
plot ${rates%, }
unset multiplot
PLOT
cp -- "$work/curves.png" "$out" || die "$out: cannot be written"
printf '%s\n' "$out"
