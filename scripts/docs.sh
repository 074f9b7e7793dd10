#!/usr/bin/env bash
# Usage: scripts/docs.sh [--out FOLDER]
# Makes the documentation's site, the pages under docs/ and the reference of all headers, in FOLDER (default build/docs;
# begin at html/index.html). Fails at any of Doxygen's warnings, at links that lead nowhere, at pictures that are not
# there, and at names without a comment, but for what overloads a primitive (cpu/, cuda/), is defaulted or deleted, or a
# deduction guide. Other versions of Doxygen than Debian 12's, 1.9.4, warn of other things, which is only shown. The
# site's search is of all that is written where lunr is there, else of names alone. Exit 77 where Doxygen or Python is
# not there.
source "$(dirname -- "$0")/common.sh"
show_help "$@"
out=$PWD/build/docs
case ${1:-} in
  "") ;;
  --out) set_option "$@" ;;
  *) die "unknown argument '$1' (see --help)" ;;
esac
lunr=/usr/share/javascript/lunr/lunr.min.js
for tool in doxygen python3 awk; do
  command -v $tool >/dev/null || { echo "SKIPPED: there is no $tool (Debian and Ubuntu: scripts/setup.sh)"; exit 77; }
done

own_folder "$out"
rm -rf "$out/html" "$out/pages" "$out/xml"
python3 -B docs/doxygen/pages.py . "$out/pages"
theme=/usr/share/doxygen-awesome-css
styles=docs/doxygen/style.css
if [ -f $theme/doxygen-awesome.css ]; then styles="$theme/doxygen-awesome.css $styles"; fi
version=$(sed -nE 's/^#define LPW_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' include/lpw/version.hpp | paste -sd.)
# The search of pages and comments, or without lunr Doxygen's, which finds names.
all=NO names=YES script=
if [ -f $lunr ]; then all=YES names=NO script='<script src="search.js"></script>'; fi
cat - docs/doxygen/footer.html <<<"$script" >"$out/footer.html"
cat docs/doxygen/Doxyfile - >"$out/Doxyfile" <<CONFIGURATION
PROJECT_NUMBER = $version
INPUT += $(tr "\n" " " <"$out/pages/order")
STRIP_FROM_PATH += "$out/pages"
USE_MDFILE_AS_MAINPAGE = "$out/pages/index.md"
OUTPUT_DIRECTORY = "$out"
HTML_EXTRA_STYLESHEET = $styles
HTML_FOOTER = "$out/footer.html"
GENERATE_XML = $all
SEARCHENGINE = $names
WARN_LOGFILE = "$out/warnings"
CONFIGURATION
awk -f docs/doxygen/filter.awk include/lpw/version.hpp >/dev/null  # Doxygen does not mind its errors
doxygen "$out/Doxyfile"
cp -r "$out/pages/pictures/." "$out/html"
if [ $all = YES ]; then
  cp $lunr docs/doxygen/search.js "$out/html"
  python3 -B docs/doxygen/search_documents.py "$out/xml" "$out/html/search_documents.js"
fi

grep -vE -e '/include/lpw/(cpu|cuda)/.* \(function\) of namespace .* is not documented' \
  -e 'Member [A-Za-z]+\(.*\) -> .* is not documented' -e 'Member .*=(default|delete) .* is not documented' \
  "$out/warnings" >"$out/counted" || true
if [ -s "$out/counted" ]; then
  cat "$out/counted"
  case $(doxygen --version) in
    1.9.4*) die "$(wc -l <"$out/counted") warnings (above)" ;;
    *) echo "$(wc -l <"$out/counted") warnings (above), which count with Doxygen 1.9.4 alone" ;;
  esac
fi
shown=$(find "$out/html" -name '*.html' -exec grep -oE '<img [^>]*src="[^"]*"' {} + |
  sed -E 's/^([^:]*):.* src="([^"]*)"$/\1 \2/' | sort -u || true)
gone=$(while read -r page picture; do
  [ -z "$page" ] || [ -f "$out/html/$picture" ] || echo "$(basename "$page") shows $picture, which is not there"
done <<<"$shown")
[ -z "$gone" ] || die "$gone"
echo "$out/html/index.html: $(find "$out/html" -name '*.html' | wc -l) pages"
