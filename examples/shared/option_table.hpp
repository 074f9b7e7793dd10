// A trainer's options as one table, from which everything else follows: the command line (command_line.hpp),
// config.toml (config_file.hpp), what a checkpoint records and what --eval takes from there (record.hpp).
//
// A trainer's Options is a struct that derives from RunOptions (run_options.hpp), with
//   program, purpose          its name, and what it does in a sentence
//   static OptionTable<Options> own()      the rows of its own options
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checks.hpp"

namespace example {

/// What an option is to a run.
enum class Role {
  run,         // with the data, makes up the result: recorded in checkpoints, from which --eval takes it
  training,    // the same, and does nothing where a saved network is only scored
  evaluation,  // recorded, and free to choose where a checkpoint is evaluated
  machine,     // by what the result is computed; recorded, and free to choose where a checkpoint is evaluated
  data,        // where the data lies, which checkpoints know by what it holds; not recorded
  program,     // how the program goes about it; not recorded
  command      // what to do: stands on the command line, and in no file
};

/// Groups of options, in the order of --help and config.toml.
enum class Section { network, data, training, late_phase, run };
struct SectionName {
  Section section;
  std::string_view heading;  // in --help
  std::string_view table;    // in a file; no option has its name
};
inline constexpr SectionName section_names[] = {{Section::network, "Network", "network"},
                                                {Section::data, "Data", "data-set"},
                                                {Section::training, "Training", "training"},
                                                {Section::late_phase, "Late-phase weights", "late-phase"},
                                                {Section::run, "Run", "run"}};

/// Why an option does nothing: another one, what that means, and yet another one, if it takes two.
struct Idle {
  std::string because, reason, also = {};
};

/// What is said of an option that does nothing.
[[nodiscard]] inline std::string refusal(const std::string& option, const Idle& why) {
  return "--" + option + " does nothing here: " + why.reason + "; leave it out";
}

/// A row: name, member, help and section are always there.
template <class Options>
struct Option {
  std::string name;  // without dashes
  std::variant<bool Options::*, int Options::*, std::int64_t Options::*, std::uint64_t Options::*, double Options::*,
               std::string Options::*>
      member;
  std::string help;
  Check check = {};
  Role role = Role::run;
  Section section;
  bool list = false;  // its value is parts joined by commas, which may be an array in a file
  bool repeated =
      false;  // it may be given several times: its value is all of them, joined by ends of lines; an array in a file
  std::string field = {};  // how the library calls it, where that is not its name with underscores
  /// Nothing where it does something. An idle option is refused where it is given, and not written to config.toml.
  std::optional<Idle> (*idle)(const Options&) = nullptr;
  /// A text as checkpoints record it, where that is not its value.
  std::string (*recorded)(const Options&) = nullptr;
  bool later = false;  // came after checkpoints without it, which are of runs with its default

  [[nodiscard]] bool is_recorded() const {
    return role != Role::data && role != Role::program && role != Role::command;
  }
  /// Calls f with the option's value in `options`.
  template <class O, class F>
  void visit(O& options, F&& f) const {
    std::visit([&](auto at) { f(options.*at); }, member);
  }
  /// Whether its value is the one that it has where nobody says another.
  [[nodiscard]] bool is_default(const Options& options) const {
    const Options defaults;
    return std::visit([&](auto at) { return options.*at == defaults.*at; }, member);
  }
  [[nodiscard]] std::optional<Idle> idle_in(const Options& options) const {
    if (auto why = idle != nullptr ? idle(options) : std::nullopt) return why;
    if constexpr (requires { options.evaluates_model(); })
      if (role == Role::training && options.evaluates_model()) return Idle{"eval", "nothing is trained"};
    return std::nullopt;
  }
};

template <class Options>
using OptionTable = std::vector<Option<Options>>;

/// The row of a name; nullptr if there is none.
template <class Options>
[[nodiscard]] const Option<Options>* find_option(const OptionTable<Options>& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& option) { return option.name == name; });
  return found == table.end() ? nullptr : &*found;
}

/// A message of the library, which names fields in backticks, as users of the program know them: `member_chunk` is
/// --member-chunk. What is no option stays as it is.
template <class Options>
[[nodiscard]] std::string with_option_names(const OptionTable<Options>& table, std::string_view message) {
  const auto option_of = [&](const std::string& field) -> const Option<Options>* {
    for (const auto& option : table)
      if (!field.empty() && option.field == field) return &option;
    std::string name = field;
    std::replace(name.begin(), name.end(), '_', '-');
    return find_option(table, name);
  };
  std::string result;
  for (std::size_t begin = 0; begin < message.size();) {
    const auto open = std::min(message.find('`', begin), message.size());
    result += message.substr(begin, open - begin);
    const auto close = open < message.size() ? message.find('`', open + 1) : message.npos;
    if (close == message.npos) return result += message.substr(open);
    const auto* option = option_of(std::string(message.substr(open + 1, close - open - 1)));
    result += option != nullptr ? "--" + option->name : std::string(message.substr(open, close - open + 1));
    begin = close + 1;
  }
  return result;
}

}  // namespace example
