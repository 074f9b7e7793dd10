#include "config_file.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace config_file {

/// A file that toml++ does not refuse where it should, but only asserts to be otherwise.
struct Unforeseen : std::runtime_error {
  Unforeseen() : std::runtime_error("unforeseen by toml++") {}
};
[[noreturn]] static bool refuse_unforeseen() { throw Unforeseen(); }

}  // namespace config_file

// Without NDEBUG toml++ asserts, with it the compiler may take for granted, what files need not keep to.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>((expression) || config_file::refuse_unforeseen())
#include <toml++/toml.h>

#include <lpw/tensor/error.hpp>
#include <lpw/train/printable.hpp>

namespace config_file {

namespace {

constexpr std::string_view expected =
    "expected an option as name = value, the value a decimal number, true or false, or a \"text\" in quotes";

std::int64_t line_of(const toml::node& node) { return static_cast<std::int64_t>(node.source().begin.line); }

/// Numbers beyond TOML's integers, in quotes. They stand in no file that is written now, but did as the seed of a run.
std::string with_large_numbers_quoted(std::string_view text) {
  constexpr std::size_t digits_of_the_largest = 19;
  std::string result;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    const auto digits = std::min(line.find(" = "), line.size()), first = std::min(digits + 3, line.size());
    const auto last = std::min(line.find_first_not_of("0123456789", first), line.size());
    const bool name = line.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == digits;
    if (name && last - first >= digits_of_the_largest && line.find_first_not_of("\r\n", last) == line.npos) {
      result += lpw::to_text(line.substr(0, first), '"', line.substr(first, last - first), '"', line.substr(last));
    } else {
      result += line;
    }
  }
  return result;
}

/// A value as it would stand on the command line; nothing for what is none.
std::optional<std::string> value_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto* whole = node.as_integer()) return lpw::shortest(whole->get());
  if (const auto* number = node.as_floating_point()) {
    const auto text = lpw::shortest(number->get());  // 4.0 is no whole number
    return text.find_first_not_of("-0123456789") == text.npos ? text + ".0" : text;
  }
  return std::nullopt;
}

/// Walks through a file's tables.
class Reader {
 public:
  Reader(const std::string& source, std::span<const std::string_view> tables) : source_(source), tables_(tables) {}

  std::vector<Setting> read(const toml::table& file) {
    for (const auto& [key, node] : file) {
      if (const auto* table = node.as_table()) {
        require_known(std::string(key.str()), line_of(node));
        for (const auto& [name, value] : *table) take(std::string(name.str()), value);
      } else {
        take(std::string(key.str()), node);
      }
    }
    std::stable_sort(settings_.begin(), settings_.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
    require_once();
    return std::move(settings_);
  }

 private:
  void require_known(const std::string& name, std::int64_t line) const {
    std::string known;
    for (const auto table : tables_) known += lpw::to_text(known.empty() ? "" : ", ", '[', table, ']');
    lpw::require<lpw::FileError>(std::find(tables_.begin(), tables_.end(), name) != tables_.end(), source_, ':', line,
                                 ": there is no group of options [", name, "]; the groups are ", known,
                                 ", and options stand above them as well");
  }

  void take(const std::string& name, const toml::node& node) {
    Setting setting{.name = name, .value = "", .line = line_of(node)};
    const auto add = [&](const toml::node& part) {
      const auto text = value_text(part);
      lpw::require<lpw::FileError>(!name.empty() && text && text->find('\0') == text->npos, source_, ':', setting.line,
                                   ": ", expected);
      setting.value += *text;
      if (setting.array) setting.parts.push_back(*text);
    };
    if (const auto* array = node.as_array()) {
      setting.array = true;
      for (const auto& part : *array) {
        if (&part != &array->front()) setting.value += ',';
        add(part);
      }
    } else {
      add(node);
    }
    settings_.push_back(std::move(setting));
  }

  /// A table and the part above all tables are one list of options.
  void require_once() const {
    std::map<std::string, std::int64_t> lines;
    for (const auto& setting : settings_) {
      const auto [first, is_new] = lines.emplace(setting.name, setting.line);
      lpw::require<lpw::FileError>(is_new, source_, ':', setting.line, ": ", setting.name, " is set in line ",
                                   first->second, " already");
    }
  }

  const std::string& source_;
  std::span<const std::string_view> tables_;
  std::vector<Setting> settings_;
};

/// The lines of a text before one, and that one.
std::pair<std::string_view, std::string_view> split_at_line(std::string_view text, std::int64_t line) {
  std::size_t begin = 0;
  for (; line > 1; --line) begin = std::min(text.find('\n', begin), text.size() - 1) + 1;
  const auto rest = text.substr(begin);
  return {text.substr(0, begin), rest.substr(0, rest.find('\n'))};
}

/// Says so where what toml++ refuses in a line is a group or a name that a line before has. (Its own message does not
/// say which.)
void refuse_second(std::string_view before, std::string_view at, const std::string& source, std::int64_t line,
                   std::span<const std::string_view> tables) {
  toml::table first, second;
  try {
    first = toml::parse(before);
    second = toml::parse(at);
  } catch (const std::runtime_error&) {
    return;
  }
  for (const auto& [name, node] : second)
    if (const auto* earlier = first.get(name.str()); node.is_table() && earlier && earlier->is_table())
      lpw::fail<lpw::FileError>(source, ':', line, ": the group [", std::string(name.str()), "] begins in line ",
                                line_of(*earlier), " already; put its options there");
  std::vector<Setting> settings, earlier_ones;
  try {
    settings = Reader(source, tables).read(second);
    earlier_ones = Reader(source, tables).read(first);
  } catch (const std::runtime_error&) {
    return;
  }
  for (const auto& setting : settings)
    for (const auto& earlier : earlier_ones)
      if (setting.name == earlier.name)
        lpw::fail<lpw::FileError>(source, ':', line, ": ", setting.name, " is set in line ", earlier.line, " already");
}

[[noreturn]] void refuse(std::string_view text, const std::string& source, std::span<const std::string_view> tables,
                         const toml::parse_error& error) {
  constexpr std::size_t longest = 60;  // of what is shown
  const std::int64_t line = error.source().begin.line;
  const auto [before, at] = split_at_line(text, line);
  refuse_second(before, at, source, line, tables);
  const auto shown = lpw::train::one_line(at.substr(0, longest)) + (at.size() > longest ? "..." : "");
  lpw::fail<lpw::FileError>(source, ':', line, ": ", shown, ": ", lpw::train::one_line(error.description()), "; ",
                            expected);
}

}  // namespace

std::vector<Setting> parse(std::string_view text, const std::string& source, std::span<const std::string_view> tables) {
  lpw::require<lpw::FileError>(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), source,
                               ": is written in UTF-16; save it as UTF-8");
  const std::string content = with_large_numbers_quoted(text);
  try {
    return Reader(source, tables).read(toml::parse(content));
  } catch (const toml::parse_error& error) {
    refuse(content, source, tables, error);
  } catch (const Unforeseen&) {
    lpw::fail<lpw::FileError>(source, ": is not as TOML is written; ", expected);
  }
}

namespace {

/// The line of a table with one value, whose text must read back as `value`.
std::string formatted(const std::string& name, const std::string& value, const toml::table& table) {
  constexpr auto flags = toml::toml_formatter::default_flags &
                         ~(toml::format_flags::allow_literal_strings | toml::format_flags::allow_multi_line_strings);
  std::ostringstream text = lpw::text_stream();
  text << toml::toml_formatter(table, flags) << '\n';
  bool same = false;
  try {
    const auto settings = parse(text.str(), "", {});
    same = settings.size() == 1 && settings.front().value == value;
  } catch (const std::runtime_error&) {
  }
  lpw::require<lpw::OptionError>(same, '`', name, "` ", value, ": is not UTF-8, as files of options are; rename it");
  return text.str();
}

/// Parts joined by commas; none where one of them is empty, which no array could tell from its neighbours.
std::optional<toml::array> array_of(std::string_view parts) {
  constexpr std::size_t digits_of_a_whole_number = 18;
  toml::array array;
  for (std::size_t begin = 0; begin <= parts.size();) {
    const auto end = std::min(parts.find(',', begin), parts.size());
    const std::string part(parts.substr(begin, end - begin));
    if (part.empty()) return std::nullopt;
    const bool whole = part.size() <= digits_of_a_whole_number && part.find_first_not_of("0123456789") == part.npos &&
                       (part.size() == 1 || part.front() != '0');
    if (whole)
      array.push_back(static_cast<std::int64_t>(std::stoll(part)));
    else
      array.push_back(part);
    begin = end + 1;
  }
  return array;
}

}  // namespace

std::string line(const std::string& name, const std::string& value) {
  return formatted(name, value, toml::table{{name, value}});
}

std::string list_line(const std::string& name, const std::string& parts) {
  auto array = array_of(parts);
  return array ? formatted(name, parts, toml::table{{name, std::move(*array)}}) : line(name, parts);
}

std::string repeated_line(const std::string& name, const std::string& lines) {
  toml::array array;
  std::string together;  // as it reads back
  std::istringstream text(lines);
  for (std::string part; std::getline(text, part);) {
    together += (array.empty() ? "" : ",") + part;
    array.push_back(part);
  }
  return formatted(name, together, toml::table{{name, std::move(array)}});
}

std::string line(const std::string& name, std::uint64_t value) {
  if (value > std::numeric_limits<std::int64_t>::max()) return line(name, lpw::shortest(value));
  return line(name, static_cast<std::int64_t>(value));
}

}  // namespace config_file
