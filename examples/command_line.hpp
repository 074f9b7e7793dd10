// The command line of a trainer: names, ranges and help of its options, and the file that repeats a run. Beside what run_options.hpp names,
// a trainer's Options have
//   program, purpose                         its name, and what it does in a sentence
//   declare_own_options(options, add)        add(name, value, help) for its own options; returns CLI11's option
//   for_each_data_option(options, f)         f(name, value) for the options that say where its data lies
//   complete(options)                        checks what goes together, and makes the paths of its data absolute
//   adopt_model(options, content, given)     for --eval: what a saved model says of its network, as far as the command line leaves it open
#pragma once

#include <concepts>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>

#include <lpw/io/checkpoint.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/train/printable.hpp>

#include "config_file.hpp"
#include "numbers.hpp"
#include "run_options.hpp"

namespace example {

/// A number in [low, high], or `instead`; rewritten so that CLI11 reads the same number (give it to transform(): check() does not rewrite).
/// `expected` completes "expected a number ...".
template <class T>
CLI::Validator number(const std::string& expected, T low, T high, std::optional<T> instead = {}) {
  return CLI::Validator(
      [=](std::string& text) {
        const auto value = read_number<T>(text);
        if (!value || !((*value >= low && *value <= high) || (instead && *value == *instead)))
          return lpw::to_text("expected a ", std::integral<T> ? "whole " : "", "number ", expected, ", found ",
                              text.empty() ? "nothing" : text);
        text = lpw::shortest(*value);
        return std::string();
      },
      "");
}
template <class T>
CLI::Validator range(T low, T high, std::optional<T> instead = {}) {
  return number("from " + lpw::shortest(low) + " to " + lpw::shortest(high) + (instead ? ", or " + lpw::shortest(*instead) : ""), low, high,
                instead);
}
template <class T>
CLI::Validator at_least(T low, std::optional<T> instead = {}, T high = static_cast<T>(1e12)) {
  return range(low, high, instead);
}
inline CLI::Validator positive(double high = 1e12) {
  return number("above 0 and at most " + lpw::shortest(high), std::numeric_limits<double>::min(), high);
}
/// The name of a file or a folder. A word that begins as options do is one whose value was forgotten.
inline CLI::Validator path_name() {
  return CLI::Validator(
      [](std::string& text) {
        if (text.empty()) return std::string("expected a name, found nothing");
        return text.starts_with("--") ? lpw::to_text("expected a name, found ", text, "; write ./", text, " if that is one")
                                      : std::string();
      },
      "");
}
/// What follows the sign in --flag=true.
inline CLI::Validator truth() {
  return CLI::Validator(
      [](std::string& text) { return text == "true" || text == "false" ? std::string() : "expected true or false, found " + text; }, "");
}

template <class Options>
class CommandLine {
 public:
  CommandLine() : app_(Options::purpose) {
    app_.get_help_ptr()->configurable(false);
    app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // so that a script's options can be overridden
    declare_own_options(options, [this](const char* name, auto& value, const char* help) { return add(name, value, help); });
    declare_training();
    declare_late_phase();
    declare_run();
  }

  /// Fills `options`. Returns an exit code where the program should end: --help, or a mistake, which has been printed. Throws lpw::Error
  /// for what a file holds and for options that do not go together.
  std::optional<int> parse(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      std::fputs(app_.help().c_str(), stdout);
      return 0;
    } catch (const CLI::ParseError& error) {
      std::fprintf(stderr, "%s: %s (see --help)\n", Options::program, lpw::train::one_line(error.what()).c_str());
      return 2;
    }
    finish();
    return std::nullopt;
  }

  /// The options of the run as a text that --config reads.
  [[nodiscard]] std::string config() const {
    std::string text = lpw::to_text("# The options of this run. ", Options::program,
                                    " --config FILE repeats it; options on the command line go before those here.\n");
    const auto line = [&text, this](const char* name, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        if (value.empty()) return;  // the default of the options that can be empty
      }
      if (idle(name)) return;
      text += config_file::line(name, value);
    };
    for_each_data_option(options, line);
    for_each_run_option(options, line);
    line("threads", options.threads);
    line("eval-every", options.eval_every);
    line("checkpoint-minutes", options.checkpoint_minutes);
    line("convert", options.convert);
    return text;
  }

  Options options;

 private:
  template <class T>
  CLI::Option* add(const char* name, T& value, const char* help) {
    return app_.add_option(name, value, help)->capture_default_str();
  }
  CLI::Option* add_flag(const char* name, bool& value, const char* help) { return app_.add_flag(name, value, help)->check(truth()); }
  [[nodiscard]] bool given(const std::string& option) const { return app_.get_option("--" + option)->count() > 0; }

  void declare_training() {
    using CLI::IsMember;
    Options& o = options;
    add("--epochs", o.epochs,
        "passes over the training data; a run may be resumed with more if its schedule does not depend on their number")
        ->transform(at_least<std::int64_t>(1));
    add("--batch", o.batch, Options::batch_help)->transform(at_least<std::int64_t>(1));
    add("--optimizer", o.optimizer, "sgd, adam or adamw")->check(IsMember({"sgd", "adam", "adamw"}));
    add("--lr", o.lr, "initial learning rate")->transform(positive(lpw::optim::max_learning_rate));
    add("--momentum", o.momentum, "Nesterov momentum of sgd; 0: plain SGD")->transform(range(0.0, 0.999999));
    add("--weight-decay", o.weight_decay, "weight decay")->transform(at_least(0.0));
    add("--clip", o.clip, "largest norm of the gradient of all weights together; 0: any")->transform(at_least(0.0));
    add("--schedule", o.schedule,
        "anneal (as in the paper, scaled to --epochs), anneal:START:END:FINAL, cosine, cosine:EPOCHS, steps:a,b,..:gamma or constant, by "
        "epoch");
    add("--swa-start", o.swa_start, "epochs before weight averaging: the weights after every later epoch are averaged; -1: never")
        ->transform(at_least<std::int64_t>(0, -1));
    add("--dropout", o.dropout, Options::dropout_help)->transform(range(0.0, 0.999));
    add("--precision", o.precision, "fp32, bf16, or on a GPU tf32: fp32 with products on tensor cores")
        ->check(IsMember({"fp32", "bf16", "tf32"}));
    add("--init", o.init, "start from a saved plain network (model.safetensors)")->check(path_name());
    add_flag("--convert", o.convert, "take F16, BF16 or F64 weights of the file given to --init or --eval, rounded to F32");
    add("--seed", o.seed, "seed of everything random")
        ->transform(at_least<std::uint64_t>(0, {}, std::numeric_limits<std::uint64_t>::max()));
  }

  void declare_late_phase() {
    Options& o = options;
    add("--members", o.members, "K, late-phase members after release; 1 trains one plain network")->transform(at_least<std::int64_t>(1));
    add("--release-epoch", o.release_epoch, "T0, epochs before release; 0 releases at once, --epochs or more never")
        ->transform(at_least<std::int64_t>(0));
    add("--release-step", o.release_step, "T0 in iterations, with which their epoch ends; goes before --release-epoch; -1: that counts")
        ->transform(at_least<std::int64_t>(0, -1));
    add("--late", o.late, Options::late_help);
    add("--sigma", o.sigma, "sigma_0, release noise relative to each parameter's rms")->transform(at_least(0.0));
    add("--base-gradient", o.base_gradient, "base gradient over the members: sum or mean")->check(CLI::IsMember({"sum", "mean"}));
    add("--late-lr", o.late_lr, "--lr of late-phase weights; -1: --lr")->transform(at_least(0.0, std::optional(-1.0)));
    add("--late-weight-decay", o.late_weight_decay, "--weight-decay of late-phase weights; -1: --weight-decay")
        ->transform(at_least(0.0, std::optional(-1.0)));
    add("--late-schedule", o.late_schedule, "--schedule of late-phase weights; default: --schedule");
    add("--member-chunk", o.member_chunk, "members computed at a time, for less memory; 0: all")->transform(at_least<std::int64_t>(0));
  }

  void declare_run() {
    Options& o = options;
    add("--config", config_file_,
        "read options from a file, such as those in examples/configs or a run folder's config.toml; those on the command line go before")
        ->check(path_name())
        ->configurable(false);
    add("--threads", o.threads, "CPU threads, 0: as many as the process may use; results do not depend on it")->transform(range(0, 4096));
    add("--device", o.device, "cpu, or cuda: an NVIDIA GPU")->check(CLI::IsMember({"cpu", "cuda"}));
    add_flag("--deterministic", o.deterministic, "the same bits in every run on a GPU too, which may be slower; the CPU's always are");
    add("--eval-every", o.eval_every, "epochs from one scoring of the collapsed network to the next; the last epoch is always scored")
        ->transform(at_least<std::int64_t>(1));
    add("--checkpoint-minutes", o.checkpoint_minutes, "minutes between checkpoints within an epoch; each epoch ends with one")
        ->transform(positive());
    add("--out", o.out, "run folder; default: runs/DATE-TIME")->check(path_name())->configurable(false);
    add_flag("--resume", o.resume, "continue the run in --out, with the options in its config.toml; start it if there is none yet")
        ->configurable(false);
    add_flag("--dry-run", o.dry_run, "print the options and what would be trained, and exit")->configurable(false);
    add("--eval", o.eval, "evaluate a checkpoint.lpw or model.safetensors, on the data it was trained for, and exit")
        ->check(path_name())
        ->configurable(false);
  }

  void finish() {
    Options& o = options;
    using lpw::require, lpw::OptionError;
    require<OptionError>(!o.resume || given("out"), "--resume needs --out, the folder of the run to continue");
    require<OptionError>(o.eval.empty() || (!o.resume && !o.dry_run && !given("out")), "--eval trains nothing: leave out ",
                         o.resume    ? "--resume"
                         : o.dry_run ? "--dry-run"
                                     : "--out");
    require_run_to_resume();
    for (const CLI::Option* option : app_.get_options())
      if (option->count() > 0) typed_.insert(option->get_name());
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

  /// Throws OptionError where --resume names a folder without a run, and nothing says what to train there: that is a mistyped name.
  void require_run_to_resume() const {
    if (!options.resume || given("config")) return;
    const std::filesystem::path folder = options.out;
    std::error_code unreadable;
    for (const char* file : {"checkpoint.lpw", "config.toml"})
      if (std::filesystem::exists(folder / file, unreadable)) return;
    bool any = false;
    const auto find = [&](const char* name, const auto&) { any = any || given(name); };
    for_each_data_option(options, find);
    for_each_run_option(options, find);
    lpw::require<lpw::OptionError>(any, "--resume --out ", options.out,
                                   ": there is no run in this folder; mend the name, or give the options of the run to start");
  }

  /// Why an option does nothing: another one, and what that means.
  struct Idle {
    std::string because, reason;
  };
  /// Nothing where it does something. An idle option is refused where it is given, and not written to config.toml.
  [[nodiscard]] std::optional<Idle> idle(const std::string& name) const {
    const Options& o = options;
    if (name == "momentum" && o.optimizer != "sgd") return Idle{"--optimizer", o.optimizer + " has no such momentum"};
    if (name == "convolution" && o.device != "cpu") return Idle{"--device", "it says how the CPU convolves"};
    if (name == "convert" && o.init.empty() && !o.evaluates_model())
      return Idle{"--eval", "there is no model.safetensors to take weights from (--init or --eval)"};
    const auto is_one_of = [&](auto... names) { return (... || (name == names)); };
    const bool late = is_one_of("sigma", "base-gradient", "late-lr", "late-weight-decay", "late-schedule", "member-chunk");
    if (late && o.members == 1) return Idle{"--members", "one member has no weights of its own"};
    if (late && o.late == "none") return Idle{"--late", "no late-phase weights are released"};
    if (o.evaluates_model() && (late || is_one_of("epochs", "members", "release-epoch", "release-step", "late", "optimizer", "lr",
                                                  "momentum", "weight-decay", "clip", "schedule", "swa-start", "dropout", "init")))
      return Idle{"--eval", "nothing is trained"};
    if constexpr (requires { o.sample; })
      if (name == "temperature" && o.sample == 0) return Idle{"--sample", "nothing is sampled"};
    return std::nullopt;
  }
  /// Whether an option has the value that it has where it is not given.
  template <class T>
  [[nodiscard]] static bool is_default(const std::string& name, const T& value) {
    const Options untouched;
    bool same = false;
    if constexpr (std::is_same_v<T, bool>) same = name == "convert" && !value;
    const auto compare = [&](const std::string& other, const auto& initial) {
      if constexpr (std::is_same_v<std::decay_t<decltype(initial)>, T>) same = same || (name == other && initial == value);
    };
    for_each_data_option(untouched, compare);
    for_each_run_option(untouched, compare);
    return same;
  }

  /// Throws OptionError for an idle option, but for one of a file that the command line has set aside, or that says nothing new.
  void require_effect() const {
    const auto require_one = [this](const std::string& name, const auto& value) {
      const auto why = idle(name);
      const bool set_aside = why && !typed_.contains("--" + name) && (typed_.contains(why->because) || is_default(name, value));
      lpw::require<lpw::OptionError>(!why || !given(name) || set_aside, "--", name, " does nothing here: ", why ? why->reason : "",
                                     "; leave it out");
    };
    for_each_data_option(options, require_one);
    for_each_run_option(options, require_one);
    require_one("convert", options.convert);
  }

  void require_machine() const {
    const Options& o = options;
    lpw::require<lpw::OptionError>(with_cuda || o.device != "cuda",
                                   "--device cuda: this program was built without CUDA; build it where nvcc, "
                                   "cuBLAS and cuDNN are (cmake --preset cuda), or take --device cpu");
    lpw::require<lpw::OptionError>(o.precision != "tf32" || o.device == "cuda" || !o.eval.empty(),
                                   "--precision tf32 needs --device cuda; on the CPU there are fp32 and bf16");
  }

  void read_config() {
    if (!config_file_.empty()) return config_file::apply(app_, config_file_);
    const auto saved = std::filesystem::path(options.out) / "config.toml";
    std::error_code unreadable;
    if (!options.resume || !std::filesystem::exists(saved, unreadable)) return;
    try {
      config_file::apply(app_, saved);
    } catch (const lpw::FileError& error) {
      lpw::fail<lpw::FileError>(error.what(), "; mend the file, or remove it and give the run's options with --resume");
    }
  }

  CLI::App app_;
  std::string config_file_;
  std::set<std::string> typed_;  // options that stand on the command line, with their dashes
};

}  // namespace example
