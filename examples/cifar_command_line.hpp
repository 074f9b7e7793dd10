// The command line of the CIFAR trainer: names, ranges and help of its options, and the file that repeats a run.
#pragma once

#include <ctime>
#include <limits>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <lpw/io/checkpoint.hpp>
#include <lpw/io/safetensors.hpp>

#include "cifar_options.hpp"
#include "config_file.hpp"

namespace cifar {

class CommandLine {
 public:
  CommandLine() { declare(); }

  /// Fills `options`. Returns an exit code where the program should end: --help, or a mistake, which has been printed. Throws lpw::Error
  /// for what a file holds and for options that do not go together.
  std::optional<int> parse(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      std::fputs(app_.help().c_str(), stdout);
      return 0;
    } catch (const CLI::ParseError& error) {
      std::fprintf(stderr, "cifar: %s (see --help)\n", error.what());
      return 2;
    }
    finish();
    return std::nullopt;
  }

  /// The options of the run as a text that --config reads.
  [[nodiscard]] std::string config() const {
    std::string text = "# The options of this run. cifar --config FILE repeats it; options on the command line go before those here.\n";
    const auto add = [&text](const char* name, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        if (value.empty()) return;  // the default of the options that can be empty
      }
      text += config_file::line(name, value);
    };
    add("data", options.data);
    add("dataset", options.dataset);
    for_each_run_option(options, add);
    add("threads", options.threads);
    add("checkpoint-minutes", options.checkpoint_minutes);
    return text;
  }

  Options options;

 private:
  void declare();
  void finish();
  void take_from_saved();
  [[nodiscard]] bool given(const std::string& option) const { return app_.get_option(option)->count() > 0; }

  CLI::App app_{"Trains a Wide ResNet with late-phase weights on CIFAR and collapses its members into one plain network."};
  std::string config_file_;
};

namespace detail {

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

}  // namespace detail

inline void CommandLine::declare() {
  using namespace detail;
  using CLI::IsMember;
  Options& o = options;
  const auto add = [this](const char* name, auto& value, const char* help) {
    return app_.add_option(name, value, help)->capture_default_str();
  };
  app_.get_help_ptr()->configurable(false);
  app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // so that a script's options can be overridden
  add("--config", config_file_,
      "read options from a file, such as those in examples/configs or a run folder's config.toml; those on the command line go before")
      ->check(not_empty())
      ->configurable(false);
  add("--data", o.data, "folder of the CIFAR binary files (scripts/download_data.sh), or synthetic: ten procedural classes")
      ->check(not_empty());
  add("--dataset", o.dataset, "cifar10 or cifar100")->check(IsMember({"cifar10", "cifar100"}));
  add("--model", o.model, "wrn-DEPTH-WIDEN, DEPTH = 6n + 4");
  add("--epochs", o.epochs, "passes over the training set")->check(at_least<std::int64_t>(1));
  add("--batch", o.batch, "samples per member and iteration")->check(at_least<std::int64_t>(1));
  add("--members", o.members, "K, late-phase members after release; 1 trains one plain network")->check(at_least<std::int64_t>(1));
  add("--release-epoch", o.release_epoch, "T0, epochs before release; 0 releases at once, --epochs or more never")
      ->check(at_least<std::int64_t>(0));
  add("--late", o.late, "late-phase weights: batchnorm, head, rank1 joined by commas, or none");
  add("--sigma", o.sigma, "sigma_0, release noise relative to each parameter's rms")->check(at_least(0.0));
  add("--base-gradient", o.base_gradient, "base gradient over the members: sum or mean")->check(IsMember({"sum", "mean"}));
  add("--lr", o.lr, "initial learning rate")->check(positive());
  add("--late-lr", o.late_lr, "the same for late-phase weights; -1: --lr")->check(at_least(0.0, std::optional(-1.0)));
  add("--momentum", o.momentum, "Nesterov momentum; 0: plain SGD")->check(range(0.0, 0.999999));
  add("--weight-decay", o.weight_decay, "weight decay")->check(at_least(0.0));
  add("--late-weight-decay", o.late_weight_decay, "the same for late-phase weights; -1: --weight-decay")
      ->check(at_least(0.0, std::optional(-1.0)));
  add("--schedule", o.schedule,
      "anneal (as in the paper, scaled to --epochs), anneal:START:END:FINAL, cosine, steps:a,b,..:gamma or constant, by epoch");
  add("--late-schedule", o.late_schedule, "the same for late-phase weights; default: --schedule");
  add("--swa-start", o.swa_start, "epochs before weight averaging: the weights after every later epoch are averaged; -1: never")
      ->check(at_least<std::int64_t>(0, -1));
  add("--label-smoothing", o.label_smoothing, "label smoothing")->check(range(0.0, 0.999));
  add("--dropout", o.dropout, "dropout rate within residual blocks")->check(range(0.0, 0.999));
  add("--cutout", o.cutout, "side of the square that cutout erases; 0: none")->check(range(0, 32));
  add("--train-subset", o.train_subset, "train on this many images, class-balanced; 0: all")->check(at_least<std::int64_t>(0));
  add("--test-subset", o.test_subset, "evaluate on this many images, class-balanced; 0: all")->check(at_least<std::int64_t>(0));
  add("--member-chunk", o.member_chunk, "members computed at a time, for less memory; 0: all")->check(at_least<std::int64_t>(0));
  add("--precision", o.precision, "fp32 or bf16")->check(IsMember({"fp32", "bf16"}));
  add("--augment", o.augment, "standard (pad-crop and flip) or none")->check(IsMember({"standard", "none"}));
  add("--init", o.init, "start from a saved plain network (model.safetensors)")->check(not_empty());
  add("--seed", o.seed, "seed of everything random")->check(at_least<std::uint64_t>(0, {}, std::numeric_limits<std::uint64_t>::max()));
  add("--threads", o.threads, "CPU threads, 0: one for each core; a run may be resumed with others, which may change its last bits")
      ->check(range(0, 4096));
  add("--device", o.device, "cpu")->check(IsMember({"cpu"}));
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

inline void CommandLine::finish() {
  Options& o = options;
  using lpw::require, lpw::OptionError;
  require<OptionError>(!o.resume || given("--out"), "--resume needs --out, the folder of the run to continue");
  require<OptionError>(o.eval.empty() || (!o.resume && !o.dry_run && !given("--out")), "--eval trains nothing: leave out ",
                       o.resume    ? "--resume"
                       : o.dry_run ? "--dry-run"
                                   : "--out");
  if (!config_file_.empty()) {
    config_file::apply(app_, config_file_);
  } else if (const auto saved = std::filesystem::path(o.out) / "config.toml"; o.resume && std::filesystem::exists(saved)) {
    try {
      config_file::apply(app_, saved);
    } catch (const lpw::FileError& error) {
      lpw::fail<lpw::FileError>(error.what(), "; mend the file, or remove it and give the run's options with --resume");
    }
  }
  if (!o.eval.empty()) take_from_saved();
  require<OptionError>(o.data != "synthetic" || o.dataset == "cifar10", "--dataset ", o.dataset,
                       " needs --data DIR; the synthetic data has 10 classes");
  // A run's folder must make sense from anywhere.
  if (o.data != "synthetic") o.data = std::filesystem::absolute(o.data).lexically_normal().string();
  if (!o.init.empty()) o.init = std::filesystem::absolute(o.init).lexically_normal().string();
  if (o.out.empty()) {
    char text[64];
    const std::time_t now = std::time(nullptr);
    std::strftime(text, sizeof text, "runs/%Y%m%d-%H%M%S", std::localtime(&now));
    o.out = text;
  }
}

/// What the file to evaluate says about its network: of a checkpoint everything but the test images, of an exported model what the command
/// line leaves open.
inline void CommandLine::take_from_saved() {
  if (!options.eval.ends_with(".safetensors"))
    return adopt(options, lpw::io::load_checkpoint(options.eval).meta.value("options", nlohmann::json::object()),
                 [this](const std::string& name) { return given("--" + name); });
  const auto metadata = lpw::io::load_safetensors(options.eval).metadata;
  if (const auto model = metadata.find("model"); model != metadata.end() && !given("--model")) options.model = model->second;
  if (const auto images = metadata.find("dataset"); images != metadata.end() && !given("--dataset")) adopt_images(options, images->second);
}

}  // namespace cifar
