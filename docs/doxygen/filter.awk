# Headers as Doxygen reads them, so that they need none of its commands: the comment that opens a file is the file's,
# one behind a field or an enumerator is the field's, one of a function is that of the next ones too where no line parts
# them, and the inline namespace LPW_ABI is left out.
/^[^ ]/ && before == "" { documented = /^\/\/\// }
/^(template|\[\[nodiscard|inline|constexpr|using|struct|class|enum|void)/ && documented && before ~ /^[^ \/#].*[;}]$|^}/ {
  print "/// As above."
}
{ before = $0 }
FNR == 1 && /^\/\/ / { opening = 1; print "/// \\file" }
opening && /^\/\// { sub(/^\/\//, "///"); print plain($0); next }
{ opening = 0; sub(/::inline LPW_ABI/, "") }
/^(template.*)?(struct|class|enum class|enum) .*\{$/ { type = 1 }
/^\}/ { type = 0 }
type && /^  [^ \/].*  \/\/ / { sub(/  \/\/ /, "  ///< "); behind = 1; print plain($0); next }
behind && /^ +\/\/ / { sub(/\/\/ /, "///< "); print plain($0); next }
{ behind = 0 }
/^ *\/\/\// { print plain($0); next }
{ print }

# Brackets and backslashes of a comment mean themselves, but in backticks, where they do in any case.
function plain(line,    at, mark, text, count, parts, i) {
  at = index(line, "///")
  mark = substr(line, at, 4) == "///<" ? "///<" : "///"
  text = substr(line, at + length(mark))
  count = split(text, parts, "`")
  text = ""
  for (i = 1; i <= count; ++i) {
    if (i % 2 == 1) gsub(/[\\<>@#]/, "\\\\&", parts[i])
    text = text (i > 1 ? "`" : "") parts[i]
  }
  return substr(line, 1, at - 1) mark text
}
