// The command line of a trainer, and the file that repeats a run, as its table of options says. Beside a trainer's
// Options stand
//   complete(options)                      checks what goes together, and makes the paths of its data absolute
//   adopt_model(options, content, given)   for --eval: what a saved model says of its network, as far as the command
//   line leaves it open
#pragma once

#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>

#include <lpw/distributed/agreement.hpp>
#include <lpw/io/checkpoint.hpp>
#include <lpw/io/file.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/train/printable.hpp>
#include <lpw/train/state.hpp>

#include "config_file.hpp"
#include "declare_option.hpp"
#include "offered_programs.hpp"
#include "record.hpp"

namespace example {

/// A command line that says what no program can understand.
class UsageError : public lpw::Error {
 public:
  using Error::Error;
};

template <class Options>
class CommandLine {
 public:
  /// `speaks`: whether this process is the one that prints --help.
  explicit CommandLine(bool with_cuda, bool speaks = true)
      : with_cuda_(with_cuda), speaks_(speaks), app_(Options::purpose) {
    app_.get_help_ptr()->configurable(false);
    declare_version(app_, Options::program);
    app_.option_defaults()->multi_option_policy(
        CLI::MultiOptionPolicy::TakeLast);  // a script's options can be overridden
    for (const auto& option : table_) option.visit(options, [&](auto& value) { declare_option(app_, option, value); });
  }

  /// Fills `options`. Returns whether the program is to go on, which it is not to after --help and --version. Throws
  /// UsageError, and lpw::Error for what a file holds and for options that do not go together.
  [[nodiscard]] bool parse(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      if (speaks_) std::fputs(app_.help().c_str(), stdout);
      return false;
    } catch (const CLI::CallForVersion&) {
      if (speaks_) std::printf("%s\n", app_.version().c_str());
      return false;
    } catch (const CLI::ParseError& error) {
      lpw::fail<UsageError>(error.what(), " (see --help)");
    }
    finish();
    return true;
  }

  /// Every option with its value, by name: what processes compare that train together.
  [[nodiscard]] lpw::distributed::Named settings() const {
    lpw::distributed::Named result;
    for (const auto& option : table_)
      option.visit(options, [&]<class T>(const T& value) {
        auto& text = result["--" + option.name];
        if constexpr (std::is_same_v<T, std::string>)
          text = lpw::train::one_line(value);
        else
          text = nlohmann::json(value).dump();
      });
    return result;
  }

  /// The options of the run as a text that --config reads, a table for each group.
  [[nodiscard]] std::string config() const {
    std::string text = lpw::to_text("# The options of this run. ", Options::program,
                                    " --config FILE repeats it; options on the command line go before those here.\n");
    for (const auto& section : section_names)
      if (const std::string lines = config_of(section.section); !lines.empty())
        text += lpw::to_text("\n[", section.table, "]\n", lines);
    return text;
  }

  Options options;

 private:
  [[nodiscard]] std::string config_of(Section section) const {
    std::string text;
    const auto add = [&text](const auto& option, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        if (value.empty()) return;  // the default of the options that can be empty
        if (option.list) {
          text += config_file::list_line(option.name, value);
          return;
        }
        if (option.repeated) {
          text += config_file::repeated_line(option.name, value);
          return;
        }
      }
      text += config_file::line(option.name, value);
    };
    for (const auto& option : table_)
      if (option.section == section && option.role != Role::command && !option.idle_in(options))
        option.visit(options, [&](const auto& value) { add(option, value); });
    return text;
  }

  [[nodiscard]] bool given(const std::string& name) const { return app_.get_option("--" + name)->count() > 0; }

  void finish() {
    Options& o = options;
    using lpw::require, lpw::OptionError;
    require<OptionError>(!o.resume || given("out"), "--resume needs --out, the folder of the run to continue");
    require<OptionError>(o.eval.empty() || (!o.resume && !o.dry_run && !given("out")),
                         "--eval trains nothing: leave out ",
                         o.resume    ? "--resume"
                         : o.dry_run ? "--dry-run"
                                     : "--out");
    require_run_to_resume();
    for (const auto& option : table_)
      if (given(option.name)) typed_.insert(option.name);
    read_config();
    const auto is_given = [this](const std::string& name) { return given(name); };
    if (o.evaluates_model()) {
      adopt_model(o, lpw::io::load_safetensors(o.eval), is_given);
    } else if (!o.eval.empty()) {
      adopt(o, lpw::io::load_checkpoint(o.eval).meta.value("options", nlohmann::json::object()), is_given);
    }
    require_machine();
    require_effect();
    complete(o);
    if (!o.init.empty()) o.init = absolute_path(o.init);
  }

  /// Throws OptionError where --resume names a folder without a run, and nothing says what to train there: that is a
  /// mistyped name.
  void require_run_to_resume() const {
    if (!options.resume || given("config")) return;
    const std::filesystem::path folder = options.out;
    std::error_code unreadable;
    for (const char* file : {"checkpoint.lpw", "config.toml"})
      if (std::filesystem::exists(folder / file, unreadable)) return;
    bool any = false;
    for (const auto& option : table_)
      any = any || (given(option.name) && (option.is_recorded() || option.role == Role::data));
    lpw::require<lpw::OptionError>(
        any, "--resume --out ", options.out,
        ": there is no run in this folder; mend the name, or give the options of the run to start");
  }

  /// Throws OptionError for an idle option, but for one of a file that the command line has set aside or that says no
  /// more than to leave it out would: files of before hold such.
  void require_effect() const {
    for (const auto& option : table_) {
      const auto why = option.idle_in(options);
      const bool aside = why && (typed_.contains(why->because) || typed_.contains(why->also));
      const bool meant = typed_.contains(option.name) || (why && !aside && !option.is_default(options));
      lpw::require<lpw::OptionError>(!why || !given(option.name) || !meant, why ? refusal(option.name, *why) : "");
    }
  }

  void require_machine() const {
    const Options& o = options;
    require_device(o.device, with_cuda_);
    lpw::require<lpw::OptionError>(o.precision != "tf32" || o.device == "cuda" || !o.eval.empty(),
                                   "--precision tf32 needs --device cuda; on the CPU there are fp32 and bf16");
  }

  void read_config() {
    if (!options.config.empty()) return apply(options.config);
    const auto saved = std::filesystem::path(options.out) / "config.toml";
    std::error_code unreadable;
    if (!options.resume || !std::filesystem::exists(saved, unreadable)) return;
    try {
      apply(saved);
    } catch (const lpw::FileError& error) {
      lpw::fail<lpw::FileError>(error.what(), "; mend the file, or remove it and give the run's options with --resume");
    }
  }

  /// Sets every option of a file that the command line did not set. Throws FileError naming file and line for an option
  /// that there is not, that belongs on the command line, or whose value its check refuses.
  void apply(const std::filesystem::path& path) {
    std::vector<std::string_view> tables;
    for (const auto& section : section_names) tables.push_back(section.table);
    const auto bytes = lpw::io::read_file(path);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const auto& setting : config_file::parse(text, path.string(), tables)) {
      const auto where = lpw::to_text(path.string(), ':', setting.line, ": ");
      if (says_nothing(setting, where)) continue;
      const auto* row = find_option(table_, setting.name);
      lpw::require<lpw::FileError>(row != nullptr, where, "there is no option ", setting.name, "; --help lists them");
      lpw::require<lpw::FileError>(row->role != Role::command, where, setting.name,
                                   " belongs on the command line, not into a file");
      lpw::require<lpw::FileError>(row->list || row->repeated || !setting.array, where, setting.name,
                                   ": expected one value, found a list");
      CLI::Option* option = app_.get_option("--" + setting.name);
      if (option->count() > 0) continue;
      try {
        if (row->repeated && setting.array) {
          for (const std::string& part : setting.parts) option->add_result(part);
        } else {
          option->add_result(setting.value);
        }
        option->run_callback();
      } catch (const CLI::ParseError& error) {
        lpw::fail<lpw::FileError>(where, error.what());
      }
    }
  }

  /// Whether it is an option of former files that asks for nothing. Throws FileError for one that asks for something.
  static bool says_nothing(const config_file::Setting& setting, const std::string& where) {
    for (const auto& former : lpw::train::former_options) {
      if (setting.name != former.name) continue;
      lpw::require<lpw::FileError>(setting.value == lpw::to_text(former.nothing), where, "there is no option ",
                                   former.name, " any more; write ", former.instead);
      return true;
    }
    return false;
  }

  bool with_cuda_, speaks_;
  CLI::App app_;
  const OptionTable<Options>& table_ = option_table<Options>();
  std::set<std::string> typed_;  // options that stand on the command line
};

}  // namespace example
