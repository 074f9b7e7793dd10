// Tables of numbers in text files: a first line with the columns' names, if they have some, then a line for each
// sample, separated by commas, fields in double quotes where they hold one (RFC 4180). One column may hold classes, as
// any texts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/data/columns.hpp>
#include <lpw/io/file.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>
#include <lpw/tensor/tensor.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::io {

/// A table's numbers, and the classes of its samples where a column has them.
struct Table {
  std::vector<std::string> columns;      // of numbers, F of them
  std::int64_t rows = 0;                 // N
  std::vector<float> values;             // [N, F]
  std::vector<std::int32_t> labels;      // [N] numbers of classes, or none
  std::vector<std::string> class_names;  // what stands in the file, in alphabetical order

  /// The numbers [F] of sample i.
  [[nodiscard]] const float* row(std::int64_t i) const { return values.data() + i * std::ssize(columns); }
  /// Where a column of numbers stands. Throws OptionError for a name that none has.
  [[nodiscard]] std::int64_t column(std::string_view name) const {
    const auto found = std::find(columns.begin(), columns.end(), name);
    require<OptionError>(found != columns.end(), "table: there is no column of numbers called ", name,
                         "; the first is ", columns.empty() ? "none" : columns.front());
    return found - columns.begin();
  }
};

/// Columns of a table as a tensor [N, names]; all of numbers where none is named. Throws OptionError for a name that no
/// column has.
[[nodiscard]] inline Tensor<float, Cpu> columns_of(const Table& table, const std::vector<std::string>& names = {}) {
  const auto& chosen = names.empty() ? table.columns : names;
  std::vector<std::int64_t> places;
  for (const auto& name : chosen) places.push_back(table.column(name));
  Tensor<float, Cpu> result({table.rows, std::ssize(places)});
  for (std::int64_t i = 0; i < table.rows; ++i)
    std::transform(places.begin(), places.end(), result.row(i), [&](std::int64_t c) { return table.row(i)[c]; });
  return result;
}

/// data::column_statistics of a table, over the samples that are trained with.
[[nodiscard]] inline data::Normalization column_statistics(const Table& table, std::span<const std::int64_t> samples) {
  return data::column_statistics(table.values, std::ssize(table.columns), samples);
}
/// data::standardize of a table.
inline void standardize(Table& table, const data::Normalization& normalization) {
  data::standardize(table.values, normalization);
}

/// What stands between fields where nobody says another.
inline constexpr char comma = ',';

/// How a table's file is read.
struct CsvOptions {
  std::string label = {};  // the column of classes; empty: there is none
  char separator = comma;  // between fields
  bool names = true;       // whether the first line has the columns' names; without, they are called 1, 2, ...
};

namespace detail {

/// A file's records, one after another.
class CsvRecords {
 public:
  CsvRecords(std::string_view text, const std::string& name, char separator)
      : rest_(text), name_(name), separator_(separator) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);  // which some programs write first
  }

  /// The next record that is no empty line; false at the end.
  [[nodiscard]] bool next(std::vector<std::string>& fields) {
    while (!rest_.empty() && (rest_.front() == '\n' || rest_.front() == '\r')) skip();
    if (rest_.empty()) return false;
    line_ = next_line_;
    fields.clear();
    do fields.push_back(field());
    while (take(separator_));
    return true;
  }
  /// Where the record began: FILE:LINE.
  [[nodiscard]] std::string place() const { return to_text(name_, ':', line_); }

 private:
  void skip() {
    if (rest_.front() == '\n') ++next_line_;
    rest_.remove_prefix(1);
  }
  [[nodiscard]] bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  [[nodiscard]] std::string field() {
    if (take('"')) return quoted();
    const auto end = std::min(rest_.find_first_of(std::string{separator_, '\n', '\r'}), rest_.size());
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }
  [[nodiscard]] std::string quoted() {
    std::string text;
    while (!rest_.empty()) {
      const char c = rest_.front();
      skip();
      if (c == '"' && !take('"')) {
        require<FileError>(
            rest_.empty() || rest_.front() == separator_ || rest_.front() == '\n' || rest_.front() == '\r', place(),
            ": something follows a closing quote; write \"\" for a quote within quotes");
        return text;
      }
      text += c;
    }
    fail<FileError>(place(), ": a quote is not closed before the end of the file");
  }

  std::string_view rest_;
  const std::string& name_;
  char separator_;
  std::int64_t line_ = 1, next_line_ = 1;
};

/// A field without blanks around it.
[[nodiscard]] inline std::string_view csv_trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// The columns' names that the first record is, or where it has none, their numbers. Throws FileError where they are to
/// be names, and all are numbers: a sample that would be lost.
[[nodiscard]] inline std::vector<std::string> csv_names(const std::vector<std::string>& first, bool names,
                                                        const std::string& place) {
  std::vector<std::string> result;
  bool numbers = true;
  for (const auto& field : first) {
    numbers = numbers && parse_double(csv_trimmed(field));
    result.push_back(names ? field : to_text(result.size() + 1));
  }
  require<FileError>(!names || !numbers, place,
                     ": holds numbers alone, where the columns' names are expected; write them above, give one of "
                     "these a letter if they are names, or say that there are none (`names`): this line is a sample "
                     "then");
  return result;
}

/// A field as a number. Throws FileError for what is none.
[[nodiscard]] inline float csv_number(const std::string& text, const std::string& place, const std::string& column) {
  const auto trimmed = csv_trimmed(text);
  require<FileError>(!trimmed.empty(), place, ": column ", column, " is empty; fill it in, or leave out the line");
  const auto value = parse_double(trimmed);
  require<FileError>(value && is_finite(*value) && is_finite(static_cast<float>(*value)), place, ": column ", column,
                     " holds ", trimmed.substr(0, 40),
                     ", which is no number; make one of it, or name the column as `label`");
  return static_cast<float>(*value);
}

}  // namespace detail

/// Reads a table. Throws FileError naming file and line for a first line of numbers in place of names, a line with more
/// or fewer fields than the first, a field that is no finite number, a label that is empty, quotes that do not close,
/// or a table without samples; OptionError where no column is called as the options say.
[[nodiscard]] inline Table read_csv(const std::filesystem::path& path, const CsvOptions& options = {}) {
  const auto bytes = read_file<char>(path);
  const std::string name = path.string();
  detail::CsvRecords records({bytes.data(), bytes.size()}, name, options.separator);
  Table table;
  std::vector<std::string> fields, classes;
  bool more = records.next(fields);
  require<FileError>(more, name, ": is empty; expected a line of columns' names and lines of numbers");
  const auto header = detail::csv_names(fields, options.names, records.place());
  const auto label = std::find(header.begin(), header.end(), options.label) - header.begin();
  const bool labelled = !options.label.empty();
  require<OptionError>(!labelled || label < std::ssize(header), name, ": there is no column ", options.label,
                       ", which `label` names; the first is ", header.front());
  for (std::int64_t c = 0; c < std::ssize(header); ++c)
    if (!labelled || c != label) table.columns.push_back(header[to_size(c)]);
  for (more = !options.names || records.next(fields); more; more = records.next(fields)) {
    require<FileError>(fields.size() == header.size(), records.place(), ": has ", fields.size(),
                       " fields, the first line ", header.size());
    for (std::int64_t c = 0; c < std::ssize(header); ++c) {
      const auto& field = fields[to_size(c)];
      if (!labelled || c != label) {
        table.values.push_back(detail::csv_number(field, records.place(), header[to_size(c)]));
        continue;
      }
      require<FileError>(!detail::csv_trimmed(field).empty(), records.place(), ": column ", options.label,
                         ", the label, is empty; fill it in, or leave out the line");
      classes.push_back(field);
    }
    ++table.rows;
  }
  require<FileError>(table.rows > 0, name, ": has a line of columns' names and no samples");
  const std::set<std::string> distinct(classes.begin(), classes.end());
  table.class_names.assign(distinct.begin(), distinct.end());
  for (const auto& text : classes)
    table.labels.push_back(static_cast<std::int32_t>(
        std::lower_bound(table.class_names.begin(), table.class_names.end(), text) - table.class_names.begin()));
  return table;
}

}  // namespace lpw::inline LPW_ABI::io
