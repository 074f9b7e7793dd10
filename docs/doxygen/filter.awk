# Headers as Doxygen reads them, so that they need none of its commands: the comment that opens a file is the file's,
# one before or behind fields or an enumerator is theirs, one of a function is that of the next ones too where no line
# parts them, in a type of those of its name, what concepts ask of types is said here, and macros' calls and the inline
# namespace LPW_ABI are left out.
BEGIN {
  asked["visit"] = "Calls f(name, part) for each parameter, buffer and module of it: nn::Visitable."
  asked["follows"] = "Whether what it holds belongs to these stores: Follower."
  asked["rearrange"] = "Takes what it holds from these stores to others: Follower."
  asked["before_collapse"] = "Is shown the released network before that collapses: Follower."
  asked["clear_states"] = "Forgets all momentum: Follower."
  asked["begin"] = "The first element."
  asked["end"] = "Behind the last element."
  asked["operator*"] = asked["operator->"] = "The element that it stands at."
  asked["operator++"] = "Goes on to the next element."
  asked["operator=="] = "Whether both are equal."
  asked["value_type"] = "The type of its values."
  asked["difference_type"] = "As iterators have it."
  asked["device_type"] = asked["D"] = "Where its values lie: Cpu or Cuda."
  asked["T"] = "The type of activations."
  asked["W"] = "The type of weights."
  asked["Flat"] = "Stores of a network's weights."
  asked["Pair"] = "Numbers in the form of a network's weights."
  asked["Run"] = "A run that trains such a network for such a task."
  asked["Clock"] = "By which time is taken."
}
called || /^[A-Z][A-Z0-9_]+\(/ { called = !/\);?$/; next }  # a macro, up to its last line
/^[^ ]/ && before == "" { documented = /^\/\/\// }
/^(template|\[\[nodiscard|inline|constexpr|using|struct|class|enum|void)/ && documented && before ~ /^[^ \/#].*[;}]$|^}/ {
  print "/// As above."
}
{ before = $0 }
FNR == 1 && /^\/\/ / { opening = 1; print "/// \\file" }
opening && /^\/\// { sub(/^\/\//, "///"); print plain($0); next }
{ opening = 0; sub(/::inline LPW_ABI/, "") }

# Within types. A comment goes on in the next line, and a field without one.
behind && /^ +\/\/ / { sub(/^ +\/\/ /, ""); note = note " " $0; next }
{ show() }
/^\}/ { types = 0 }
types && index($0, opened[types] "};") == 1 { --types }
/^ *(template.*)?(struct|class|enum class|enum) .*\{$/ {
  match($0, /^ */)
  opened[++types] = substr($0, 1, RLENGTH)
}
{ type = types ? opened[types] "  " : "" }
type && /^ +[a-z].* =$/ { joined = $0; next }
joined { sub(/^ +/, ""); $0 = joined " " $0; joined = "" }
/^ *\/\/\// { print plain($0); said = said substr($0, index($0, "///") + 3); next }
/^ +template <.*>$/ { held = held $0 "\n"; next }
type && /^$/ { last = "" }
type && index($0, type) == 1 && substr($0, length(type) + 1) ~ /^[a-zA-Z[]/ {
  note = ""
  behind = match($0, /  \/\/ /)
  if (behind) {
    note = substr($0, RSTART + RLENGTH)
    $0 = substr($0, 1, RSTART - 1)
    sub(/ +$/, "")
  }
  if (behind || /;$/) {
    code = $0
    next
  }
}
{ member($0, said != ""); said = "" }
END { show() }

# A line that waits for the rest of its comment.
function show(    count, fields, i) {
  if (code == "") return
  count = split_fields(code, fields)
  if (count == 0) {
    if (note != "") print plain("  /// " note)
    member(code, note != "" || said != "")
  }
  for (i = 1; i <= count; ++i) {
    if (note != "") print plain("  /// " note)
    else if (i > 1 && said != "") print plain("  ///" said)
    print fields[i]
  }
  code = note = said = ""
  behind = 0
}

# A member's declaration, behind its own comment or that of the one above.
function member(line, commented,    name, words) {
  if (type && match(line, "^" type "[a-zA-Z[]")) {
    name = ""
    if (match(line, /(operator[^A-Za-z0-9_(]+|[A-Za-z_~0-9]+)\(/)) name = substr(line, RSTART, RLENGTH - 1)
    if (split(line, words) > 2 && words[1] == "using" && words[3] == "=") name = words[2]
    if (!commented && name != "") {
      if (name == last) print "  /// As above."
      else if (name in asked) print "  /// " asked[name]
    }
    last = commented || name == last ? name : ""
  }
  printf "%s", held
  held = ""
  print line
}

# Fields that a line declares, each with the type; none where it is no declaration of fields.
function split_fields(line, fields,    depth, i, c, begin, count, first, kind) {
  if (line !~ /;$/ || line ~ /^ *(using|friend|return|static_assert|enum|struct|class|public|private|protected) ?/) return 0
  begin = 1
  for (i = 1; i < length(line); ++i) {
    c = substr(line, i, 1)
    if (c == "(" && depth == 0) return 0
    if (index("<({[", c)) ++depth
    else if (index(">)}]", c)) --depth
    else if (c == "," && depth == 0) {
      fields[++count] = substr(line, begin, i - begin)
      begin = i + 1
    }
  }
  fields[++count] = substr(line, begin, length(line) - begin)
  first = fields[1]
  if (match(first, / = |[{[]/)) first = substr(first, 1, RSTART - 1)
  match(first, /[A-Za-z_0-9]+$/)
  kind = substr(first, 1, RSTART - 1)
  for (i = 2; i <= count; ++i) {
    sub(/^ +/, "", fields[i])
    fields[i] = kind fields[i]
  }
  for (i = 1; i <= count; ++i) fields[i] = fields[i] ";"
  return count
}

# Brackets and backslashes of a comment mean themselves, but in backticks and in code, which is set in behind an empty
# line: there they do in any case.
function plain(line,    at, text, count, parts, i) {
  at = index(line, "///")
  text = substr(line, at + 3)
  example = text ~ /^     / && (example || paragraph)
  paragraph = text == ""
  if (example) return line
  count = split(text, parts, "`")
  text = ""
  for (i = 1; i <= count; ++i) {
    if (i % 2 == 1) gsub(/[\\<>@#]/, "\\\\&", parts[i])
    text = text (i > 1 ? "`" : "") parts[i]
  }
  return substr(line, 1, at + 2) text
}
