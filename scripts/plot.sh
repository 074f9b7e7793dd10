#!/usr/bin/env bash
# Usage: scripts/plot.sh [--out FILE.png] [--] RUN_DIR...
# Draws losses, accuracy or bits per character, and learning rates over the epochs from the metrics.csv of one or
# several runs, with a dashed vertical line where members were released, into FILE.png or the curves.png of the first
# run folder. Each run has a colour, after the eighth with another mark. What the test set says, or of texts the
# validation text, is drawn with points: with full ones of the collapsed network (its loss is the negative
# log-likelihood), with empty ones of the members' ensemble where that was scored (--eval-ensemble, --serve ensemble);
# training is dashed. Works while a run is under way. Needs gnuplot.
set -euo pipefail
export LC_ALL=C.UTF-8  # awk writes and reads numbers with a point
unset CDPATH
die() { local line="plot.sh: $*"; printf '%s\n' "${line//[[:cntrl:]]/?}" >&2; exit 1; }
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
# where there are late-phase weights. Columns of a numbered file: epoch, training loss, training metric, held-out
# metric, learning rate, late-phase rate, phase; then held-out loss, and the ensemble's loss and metric. What a run does
# not have is "?".
colours=(0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9 000000 999999)  # which the colour-blind tell apart (Okabe and Ito)
has() { awk -v column="$2" '$column != "?" { found = 1 } END { exit !found }' <"$work/$1"; }
loss="" metrics="" rates="" releases="" metric=metric last=2
for i in "${!runs[@]}"; do
  csv=${runs[$i]}/metrics.csv colour="linecolor rgb '#${colours[i % ${#colours[@]}]}'" data="'$i'"
  [ -f "$csv" ] || die "$csv: no such file; ${runs[$i]} is not the folder of a run that has trained an epoch"
  csv=${csv//[[:cntrl:]]/?} LC_ALL=C awk -F, '
    BEGIN { csv = ENVIRON["csv"] }
    NR == 1 {
      for (c = 1; c <= NF; c++) {
        column[$c] = c
        if ($c ~ /^train_/ && $c != "train_loss") { metric = $c; sub(/^train_/, "", metric) }
      }
      set = (("valid_" metric) in column) ? "valid_" : "test_"
      split("epoch train_loss train_" metric " " set metric " learning_rate late_learning_rate", names, " ")
      for (n = 1; n <= 6; n++) if (!(names[n] in column)) {
        print "plot.sh: " csv ": has no column " names[n] > "/dev/stderr"; exit 1
      }
      split(set "nll " set "nll_ensemble " set metric "_ensemble", more, " ")
      if (metric == "bpc") {  # of which the loss is another unit
        more[1] = set "bpc"; more[2] = set "bpc_ensemble"
        nats = log(2)
      }
      next
    }
    # A number; or where there may be none, in an epoch that was not scored or a run that does not score it, "?".
    function number(name, optional,    value) {
      value = name in column ? $column[name] : ""
      if (optional && value == "" && NF >= column[names[4]]) return "?"
      if (value ~ /^[0-9.eE+-]+$/) return value
      print "plot.sh: " csv ":" NR ": " name " is not a number" > "/dev/stderr"; exit 1
    }
    { line = ""
      for (n = 1; n <= 5; n++) line = line number(names[n], n == 4) " "
      line = line ($column["phase"] ~ /^late/ ? number(names[6], 1) : "?") " " $column["phase"]
      for (n = 1; n <= 3; n++) {
        value = number(more[n], 1)
        line = line " " (nats && n < 3 && value != "?" ? value * nats : value)
      }
      print line }
  ' <"$csv" >"$work/$i" || exit 1
  [ -s "$work/$i" ] || die "$csv: holds no epoch yet"
  metric=$(head -1 <"$csv" | tr , '\n' | grep -E '^train_' | grep -v '^train_loss$' | head -1 | tr -cd 'a-zA-Z0-9_')
  metric=${metric#train_} held_out=test
  case $(head -1 <"$csv") in *",valid_$metric"*) held_out=valid ;; esac
  case ${runs[$i]} in /*) folder=${runs[$i]} ;; *) folder=./${runs[$i]} ;; esac
  name=$(basename -- "$(cd "$folder" && pwd)" | tr -d '\n' | sed "s/'/''/g")
  released=$(LC_ALL=C awk '$7 ~ /^late/ { print $1 - 1; exit }' <"$work/$i")
  epochs=$(LC_ALL=C awk 'END { print $1 }' <"$work/$i")
  if [ "${epochs%%[!0-9]*}" = "$epochs" ] && [ "$epochs" -gt "$last" ]; then last=$epochs; fi
  [ -z "$released" ] ||
    releases+="set arrow from first $released, graph 0 to first $released, graph 1 nohead dashtype 2 $colour"$'\n'
  mark=$((5 + (2 + 2 * (i / ${#colours[@]})) % 10))  # circles; of runs whose colour comes again triangles, and so on
  full="with linespoints pointtype $mark pointsize 0.5 linewidth 2 $colour"
  empty="with linespoints pointtype $((mark - 1)) pointsize 0.9 linewidth 1 $colour"
  training="with lines dashtype 2 linewidth 1.5 $colour title '$name: training'"
  if has "$i" 8; then loss+="$data using 1:8 $full title '$name: $held_out', "; fi
  if has "$i" 9; then loss+="$data using 1:9 $empty title '$name: $held_out, ensemble', "; fi
  loss+="$data using 1:2 $training, "
  if has "$i" 4; then metrics+="$data using 1:4 $full title '$name: $held_out', "; fi
  if has "$i" 10; then metrics+="$data using 1:10 $empty title '$name: $held_out, ensemble', "; fi
  metrics+="$data using 1:3 $training, "
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
set xrange [1:$last]
set xtics add ('1' 1)
$releases
set ylabel 'loss, in nats'
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
