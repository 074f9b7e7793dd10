# One source file of all programs in the documents, which runs the one that its argument names: PAGE, the blocks of
# ```cpp run of a page, one after another; PAGE-N, its Nth block of ```cpp. Where pages.txt says so, with smaller
# numbers than a reader's. A block that is no whole program is an error.
# usage: awk -f pages.awk pages.txt PAGE.md...
function fail(message) {
  print "pages: " message >"/dev/stderr"
  failed = 1
  exit 1
}

FILENAME != file { file = FILENAME; page = file; gsub(/.*\/|\.md$/, "", page); number = 0; inside = 0 }

# Rows of pages.txt: a program's name or *, and two texts.
file ~ /\.txt$/ {
  if ($0 ~ /^[^#]/) {
    at = index($0, ": ")
    arrow = index($0, " => ")
    if (!at || !arrow) fail(FILENAME ": '" $0 "' is not NAME: TEXT => TEXT")
    rows++
    row_name[rows] = substr($0, 1, at - 1)
    written[rows] = substr($0, at + 2, arrow - at - 2)
    taken[rows] = substr($0, arrow + 4)
  }
  next
}

/^```cpp( run)?$/ { inside = 1; first = 1; name = $2 == "run" ? page : page "-" ++number; next }
/^```$/ { inside = 0; next }
!inside { next }

first {
  first = 0
  if (!(name in text)) {
    if ($0 !~ /^#include/) fail(file ":" FNR ": begins with no #include, and is no whole program")
    names[++programs] = name
  }
  text[name] = text[name] "#line " FNR " \"" file "\"\n"
}
/^#include/ {
  if (!($0 in included)) { included[$0]; includes = includes $0 "\n" }
  text[name] = text[name] "\n"
  next
}
{
  line = $0
  for (r = 1; r <= rows; r++) {
    if (row_name[r] != "*" && row_name[r] != name) continue
    while (at = index(line, written[r])) {  # written[r] is no part of taken[r]
      line = substr(line, 1, at - 1) taken[r] substr(line, at + length(written[r]))
      used[r] = 1
    }
  }
  if (line ~ /^int main\(\) \{/) { sub(/main/, "run", line); in_main = 1; has_main[name] = 1 }
  if (in_main && line ~ /^\}/) { line = "  return 0;\n}"; in_main = 0 }  # as at the end of main
  text[name] = text[name] line "\n"
}

END {
  if (failed) exit 1
  for (r = 1; r <= rows; r++)
    if (!used[r]) fail("no program has '" written[r] "', which pages.txt replaces in " row_name[r])
  print "#include <cstdio>\n#include <string_view>\n\n" includes
  for (p = 1; p <= programs; p++) {
    if (!has_main[names[p]]) fail("the program " names[p] " has no 'int main() {'")
    space = "page_" names[p]
    gsub(/-/, "_", space)
    print "namespace " space " {\n" text[names[p]] "}  // namespace " space "\n"
    list = list "      {\"" names[p] "\", " space "::run},\n"
  }
  print "int main(int count, char** arguments) {"
  print "  constexpr struct {\n    std::string_view name;\n    int (*run)();\n  } programs[] = {\n" list "  };"
  print "  for (const auto& program : programs) {"
  print "    if (count < 2) std::printf(\"%s\\n\", program.name.data());"
  print "    else if (program.name == arguments[1]) return program.run();"
  print "  }"
  print "  return count < 2 ? 0 : 2;\n}"
}
