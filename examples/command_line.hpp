// The command line of a trainer: names, ranges and help of its options, and the file that repeats a run. Beside what run_options.hpp names,
// a trainer's Options have
//   program, purpose                         its name, and what it does in a sentence
//   declare_own_options(options, add)        add(name, value, help) for its own options; returns CLI11's option
//   for_each_data_option(options, f)         f(name, value) for the options that say where its data lies
//   complete(options)                        checks what goes together, and makes the paths of its data absolute
//   adopt_model(options, content, given)     for --eval: what a saved model says of its network, as far as the command line leaves it open
#pragma once

#include <filesystem>
#include <limits>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <lpw/io/checkpoint.hpp>
#include <lpw/io/safetensors.hpp>

#include "config_file.hpp"
#include "run_options.hpp"

namespace example {

/// A number in [low, high], or `instead`. Unlike CLI11's own range this refuses "nan", and "-1" for what is unsigned. `expected` completes
/// "expected a number ...".
template <class T>
CLI::Validator number(const std::string& expected, T low, T high, std::optional<T> instead = {}) {
  return CLI::Validator(
      [=](std::string& text) {
        T value{};
        const bool valid = (std::is_signed_v<T> || !text.starts_with('-')) && CLI::detail::lexical_cast(text, value) &&
                           ((value >= low && value <= high) || (instead && value == *instead));
        return valid ? std::string()
                     : lpw::concat("expected a ", std::is_integral_v<T> ? "whole " : "", "number ", expected, ", found ", text);
      },
      "");
}
template <class T>
CLI::Validator range(T low, T high) {
  return number(lpw::concat("from ", low, " to ", high), low, high);
}
template <class T>
CLI::Validator at_least(T low, std::optional<T> instead = {}, T high = static_cast<T>(1e12)) {
  return number(lpw::concat("of at least ", low, instead ? lpw::concat(", or ", *instead) : ""), low, high, instead);
}
inline CLI::Validator not_empty() {
  return CLI::Validator([](std::string& text) { return text.empty() ? "expected a name, found nothing" : std::string(); }, "");
}
inline CLI::Validator positive() { return number("above 0", std::numeric_limits<double>::min(), 1e12); }

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
      std::fprintf(stderr, "%s: %s (see --help)\n", Options::program, error.what());
      return 2;
    }
    finish();
    return std::nullopt;
  }

  /// The options of the run as a text that --config reads.
  [[nodiscard]] std::string config() const {
    std::string text = lpw::concat("# The options of this run. ", Options::program,
                                   " --config FILE repeats it; options on the command line go before those here.\n");
    const auto line = [&text](const char* name, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        if (value.empty()) return;  // the default of the options that can be empty
      }
      text += config_file::line(name, value);
    };
    for_each_data_option(options, line);
    for_each_run_option(options, line);
    line("threads", options.threads);
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
  [[nodiscard]] bool given(const std::string& option) const { return app_.get_option("--" + option)->count() > 0; }

  void declare_training() {
    using CLI::IsMember;
    Options& o = options;
    add("--epochs", o.epochs, "passes over the training data")->check(at_least<std::int64_t>(1));
    add("--batch", o.batch, Options::batch_help)->check(at_least<std::int64_t>(1));
    add("--optimizer", o.optimizer, "sgd, adam or adamw")->check(IsMember({"sgd", "adam", "adamw"}));
    add("--lr", o.lr, "initial learning rate")->check(positive());
    add("--momentum", o.momentum, "Nesterov momentum of sgd; 0: plain SGD")->check(range(0.0, 0.999999));
    add("--weight-decay", o.weight_decay, "weight decay")->check(at_least(0.0));
    add("--clip", o.clip, "largest norm of the gradient of all weights together; 0: any")->check(at_least(0.0));
    add("--schedule", o.schedule,
        "anneal (as in the paper, scaled to --epochs), anneal:START:END:FINAL, cosine, steps:a,b,..:gamma or constant, by epoch");
    add("--swa-start", o.swa_start, "epochs before weight averaging: the weights after every later epoch are averaged; -1: never")
        ->check(at_least<std::int64_t>(0, -1));
    add("--dropout", o.dropout, Options::dropout_help)->check(range(0.0, 0.999));
    add("--precision", o.precision, "fp32, bf16, or on a GPU tf32: fp32 with products on tensor cores")
        ->check(IsMember({"fp32", "bf16", "tf32"}));
    add("--init", o.init, "start from a saved plain network (model.safetensors)")->check(not_empty());
    app_.add_flag("--convert", o.convert, "take F16, BF16 or F64 weights of the file given to --init or --eval, rounded to F32");
    add("--seed", o.seed, "seed of everything random")->check(at_least<std::uint64_t>(0, {}, std::numeric_limits<std::uint64_t>::max()));
  }

  void declare_late_phase() {
    Options& o = options;
    add("--members", o.members, "K, late-phase members after release; 1 trains one plain network")->check(at_least<std::int64_t>(1));
    add("--release-epoch", o.release_epoch, "T0, epochs before release; 0 releases at once, --epochs or more never")
        ->check(at_least<std::int64_t>(0));
    add("--release-step", o.release_step, "T0 in iterations, with which their epoch ends; goes before --release-epoch; -1: that counts")
        ->check(at_least<std::int64_t>(0, -1));
    add("--late", o.late, Options::late_help);
    add("--sigma", o.sigma, "sigma_0, release noise relative to each parameter's rms")->check(at_least(0.0));
    add("--base-gradient", o.base_gradient, "base gradient over the members: sum or mean")->check(CLI::IsMember({"sum", "mean"}));
    add("--late-lr", o.late_lr, "--lr of late-phase weights; -1: --lr")->check(at_least(0.0, std::optional(-1.0)));
    add("--late-weight-decay", o.late_weight_decay, "--weight-decay of late-phase weights; -1: --weight-decay")
        ->check(at_least(0.0, std::optional(-1.0)));
    add("--late-schedule", o.late_schedule, "--schedule of late-phase weights; default: --schedule");
    add("--member-chunk", o.member_chunk, "members computed at a time, for less memory; 0: all")->check(at_least<std::int64_t>(0));
  }

  void declare_run() {
    Options& o = options;
    add("--config", config_file_,
        "read options from a file, such as those in examples/configs or a run folder's config.toml; those on the command line go before")
        ->check(not_empty())
        ->configurable(false);
    add("--threads", o.threads, "CPU threads, 0: as many as the process may use; results do not depend on it")->check(range(0, 4096));
    add("--device", o.device, "cpu, or cuda: an NVIDIA GPU")->check(CLI::IsMember({"cpu", "cuda"}));
    add("--convolution", o.convolution, "3x3 convolutions on the CPU: winograd (where it is faster) or direct")
        ->check(CLI::IsMember({"winograd", "direct"}));
    app_.add_flag("--deterministic", o.deterministic, "the same bits in every run on a GPU too, which may be slower; the CPU's always are");
    add("--checkpoint-minutes", o.checkpoint_minutes, "minutes between checkpoints within an epoch; each epoch ends with one")
        ->check(positive());
    add("--out", o.out, "run folder; default: runs/DATE-TIME")->check(not_empty())->configurable(false);
    app_.add_flag("--resume", o.resume, "continue the run in --out, with the options in its config.toml; start it if there is none yet")
        ->configurable(false);
    app_.add_flag("--dry-run", o.dry_run, "print the options and what would be trained, and exit")->configurable(false);
    add("--eval", o.eval, "evaluate a checkpoint.lpw or model.safetensors, on the data it was trained for, and exit")
        ->check(not_empty())
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
    read_config();
    const auto is_given = [this](const std::string& name) { return given(name); };
    if (o.evaluates_model()) {
      adopt_model(o, lpw::io::load_safetensors(o.eval), is_given);
    } else if (!o.eval.empty()) {
      adopt(o, lpw::io::load_checkpoint(o.eval).meta.value("options", nlohmann::json::object()), is_given);
    }
    require_machine();
    complete(o);
    if (!o.init.empty()) o.init = absolute_path(o.init);
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
    if (!options.resume || !std::filesystem::exists(saved)) return;
    try {
      config_file::apply(app_, saved);
    } catch (const lpw::FileError& error) {
      lpw::fail<lpw::FileError>(error.what(), "; mend the file, or remove it and give the run's options with --resume");
    }
  }

  CLI::App app_;
  std::string config_file_;
};

}  // namespace example
