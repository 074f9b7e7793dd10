// What a trainer does with its options, from the first message to the exit code: evaluate what was saved, show the
// plan, or train. An Example says what it is made of:
//   Options                   see option_table.hpp, record.hpp and command_line.hpp
//   Network<T, Device>        made from network_options(options) and random numbers
//   Task<Network>             see train/trainer.hpp; made from the data and task_options(options)
// and beside its Options stand
//   load_data(options)               the data
//   fingerprint(options, data)       how the data is known again: a text of what is in it
//   banner(options, data)            what is trained on what, for the first line: {of the network, of the data}
//   other_data(options, data)        with --eval of a checkpoint: whether this is not the data its run scored
//   exported(options, data)          what --export notes of the network, and the shape of a sample: {metadata, shape}
//   conclude(options, network, display)   for what is to be done with the collapsed network at last; may be left out
//   class_names(options, data)       by which saved networks of the data are told from others; may be left out
//   remarks_on_model(options, file, data, report)   lines about a saved network that was read; may be left out
#pragma once

#include <array>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <lpw/cpu/base/instructions.hpp>
#include <lpw/distributed/agreement.hpp>
#include <lpw/distributed/launcher.hpp>
#include <lpw/train/parts/event_log.hpp>
#include <lpw/train/parts/line_search.hpp>
#include <lpw/train/trainer.hpp>

#include "effects.hpp"
#include "export.hpp"
#include "fingerprint.hpp"
#include "record.hpp"

namespace example {

/// How a device is called: `engine` is what does its matrix products and convolutions, which a checkpoint records,
/// since others round otherwise. Specialised for the GPU in cuda_program.hpp.
template <class Device>
struct Machine {
  static std::string engine() { return lpw::cpu_engine() == lpw::CpuEngine::onednn ? "oneDNN" : "Eigen"; }
  static std::string description() {
    return lpw::to_text(
        "the CPU with ", lpw::max_threads(), lpw::max_threads() == 1 ? " thread (" : " threads (", engine(), ", ",
        lpw::instruction_set(),
        lpw::cpu_engine() == lpw::CpuEngine::eigen ? "; oneDNN is not compiled in, convolutions are slower)" : ")");
  }
};

/// The engine, and the type of its products where that is not T.
template <class T, class Device>
[[nodiscard]] std::string engine_for() {
  if constexpr (std::is_same_v<Device, lpw::Cpu>) return lpw::describe_products<T>();
  return Machine<Device>::engine();
}

/// What a banner says.
struct Banner {
  std::string network, data;
};

template <class Example, class T, class Device>
class TrainerProgram {
  using Options = typename Example::Options;
  using Network = typename Example::template Network<T, Device>;
  using Task = typename Example::template Task<Network>;

 public:
  /// `config`: the text of the run's config.toml.
  TrainerProgram(const Options& options, std::string config)
      : options_(options),
        processes_(*options.processes),
        config_(std::move(config)),
        display_(processes_.leads() ? stdout : nullptr, lpw::train::Display::Clock::now,
                 lpw::distributed::launched().has_value()) {}

  /// Returns the exit code.
  int run() {
    const auto train_options = example::train_options(options_);
    lpw::train::validate(train_options);
    for (const auto& file : std::array{options_.eval, options_.init}) require_same_file(file);
    const auto shape = network_options(options_);
    const auto data = load_data(options_);  // before a network, whose size may be anything, takes its memory
    Network network(shape, lpw::Philox(options_.seed));
    if (options_.evaluates_model())
      remark(options_.eval, data, lpw::io::load_safetensors(options_.eval, network, load_options(data)));
    require_parameters(options_, network);
    require_same_data(data);
    Task task(data, task_options(options_), processes_);
    if (options_.line_search > 0 && options_.eval.empty())
      lpw::train::LineSearch<Network, Task>::require_possible(task, train_options, options_.line_search);
    if (options_.evaluates_model()) {
      const auto scores = scored([&] { return task.evaluate(network); });
      display_.line(scored_on(task));
      display_.line(lpw::train::format_table({{"collapsed", scores}}));
      return concluded(network, data);
    }
    if (options_.eval.empty()) require_each_selects(options_, network);
    lpw::train::Trainer trainer(
        network, task, train_options, description(options_, data, engine_for<T, Device>()),
        [shape](const lpw::Philox& random) { return Network(shape, random); }, processes_);
    if (!options_.eval.empty()) return evaluate(trainer, task, network, data);
    show(banner(options_, data), network);
    return options_.dry_run ? show_plan(trainer) : train(trainer, network, data);
  }

 private:
  /// What a scoring of the saved network returns; where its outputs are not finite, it is that file's network that
  /// diverged.
  template <class Score>
  [[nodiscard]] auto scored(Score&& score) const {
    try {
      return score();
    } catch (const lpw::NonFinite& error) {
      lpw::fail<lpw::NonFinite>(options_.eval, ": the network's outputs are not finite (", error.what(),
                                "): its training diverged; take a checkpoint or model of before");
    }
  }

  /// What a table's scores are of.
  [[nodiscard]] static std::string scored_on(const Task& task) {
    return lpw::to_text("scored on ", task.scored_samples(), ' ', Task::words().unit);
  }

  template <class Trainer, class Data>
  int evaluate(Trainer& trainer, const Task& task, Network& network, const Data& data) {
    trainer.load(options_.eval);
    auto scores = scored([&] { return trainer.collapse_and_score(display_); });
    if (other_data(options_, data))  // what was recorded in training is of the data of then
      std::erase_if(scores, [](const auto& result) { return result.name == "before_release"; });
    display_.line(scored_on(task));
    display_.line(lpw::train::format_table(scores));
    return concluded(network, data);
  }

  void show(const Banner& what, Network& network) {
    const auto& weights = lpw::nn::flatten(network)->value;
    display_.line(lpw::to_text(what.network, ", ", weights.base.dim(1) + weights.late.dim(1), " parameters, ",
                               options_.precision, " on ", Machine<Device>::description(), "; ",
                               lpw::train::one_line(what.data)));
  }

  template <class Trainer>
  void show_lines(Trainer& trainer) {
    for (const auto& line : trainer.plan()) display_.line(line);
    for (const auto& line : remarks_on_schedules(options_)) display_.line(line);
  }

  template <class Trainer>
  int show_plan(Trainer& trainer) {
    show_lines(trainer);
    display_.line(lpw::to_text("\n", config_));
    return 0;
  }

  /// What is written beside the run.
  template <class Trainer>
  void add_parts(Trainer& trainer, const std::filesystem::path& folder) {
    if (options_.line_search > 0)
      trainer.add(std::make_unique<lpw::train::LineSearch<Network, Task>>(folder, options_.line_search));
    if (options_.tensorboard && processes_.leads())
      trainer.add(std::make_unique<lpw::train::EventLog<Network, Task>>(folder));
  }

  /// How a saved network is read that is to tell the classes of the data apart.
  template <class Data>
  [[nodiscard]] lpw::io::LoadOptions load_options(const Data& data) const {
    lpw::io::LoadOptions result{.convert = options_.convert};
    if constexpr (requires { class_names(options_, data); }) result.classes = class_names(options_, data);
    return result;
  }

  /// Starts from a saved network, whose head may be for other classes.
  template <class Data>
  void initialise(Network& network, const Data& data) {
    auto how = load_options(data);
    how.new_head = true;
    const auto report = lpw::io::load_safetensors(options_.init, network, how);
    display_.line(lpw::to_text("start from ", lpw::train::one_line(options_.init), ": ",
                               lpw::train::one_line(report.describe())));
    remark(options_.init, data, report);
  }

  /// Says what there is to say of a network that was read from a file.
  template <class Data>
  void remark([[maybe_unused]] const std::string& file, const Data& data, const lpw::io::LoadReport& report) {
    if constexpr (requires { remarks_on_model(options_, file, data, report); })
      for (const auto& line : remarks_on_model(options_, file, data, report)) display_.line(lpw::train::one_line(line));
  }

  template <class Trainer, class Data>
  int train(Trainer& trainer, Network& network, const Data& data) {
    const auto saved = std::filesystem::path(options_.out) / "checkpoint.lpw";
    if (!options_.init.empty() && (options_.out.empty() || !std::filesystem::exists(saved)))  // which goes before it
      initialise(network, data);                                                              // or leaves no folder
    const auto folder = run_folder();
    const std::string out = folder.path().string();
    add_parts(trainer, folder.path());
    const bool goes_on = folder.has_checkpoint();
    if (goes_on) trainer.load(folder.checkpoint());
    folder.write_config(config_);
    const auto shown = lpw::train::one_line(out);
    if (options_.resume && !goes_on) display_.line(lpw::to_text("no checkpoint in ", shown, " yet, starting"));
    show_lines(trainer);
    display_.line(lpw::to_text("run folder: ", shown));
    const int signal = trainer.run(folder, display_);
    if (signal == 0) return concluded(network, data);
    display_.line(lpw::to_text("interrupted; everything up to this step is in ",
                               lpw::train::one_line(folder.checkpoint().string()),
                               "; continue with: ", Options::program, " --resume --out ", shown));
    return 128 + signal;
  }

  /// Made by process 0. All read the checkpoint in it, if there is one, before any writes another.
  [[nodiscard]] lpw::train::RunFolder run_folder() const {
    using lpw::train::RunFolder;
    if (!processes_.several())
      return RunFolder(options_.out.empty() ? new_run_folder() : options_.out, options_.resume);
    std::string path = options_.out;
    if (path.empty() && processes_.leads()) path = new_run_folder();
    path = lpw::distributed::broadcast_text(processes_, path);
    std::optional<RunFolder> made;
    if (processes_.leads()) made.emplace(path, options_.resume);
    processes_.barrier();
    auto folder = made ? std::move(*made) : RunFolder::of_other_process(path);
    if (processes_.several()) {
      const std::string found = folder.has_checkpoint()
                                    ? "with a checkpoint of " + fingerprint_of_file(folder.checkpoint())
                                    : std::string("without a checkpoint");
      lpw::distributed::require_same(processes_, {{lpw::train::one_line(path), "a folder " + found}});
    }
    return folder;
  }

  /// Throws Error where processes find other things in a file that they read, which need not be there (a run that goes
  /// on does without what it started from).
  void require_same_file(const std::string& file) const {
    if (file.empty() || !processes_.several()) return;
    std::error_code unreadable;  // which whoever reads it says
    const bool there = std::filesystem::exists(file, unreadable);
    lpw::distributed::require_same(processes_,
                                   {{lpw::train::one_line(file), there ? fingerprint_of_file(file) : "not there"}});
  }

  /// Throws Error where processes train on other data.
  template <class Data>
  void require_same_data(const Data& data) const {
    if (processes_.several())
      lpw::distributed::require_same(processes_, {{"the data set", fingerprint(options_, data)}});
  }

  /// One that no other run has, even if it starts in this second.
  static std::string new_run_folder() {
    char name[64];
    const std::time_t now = std::time(nullptr);
    std::strftime(name, sizeof name, "runs/%Y%m%d-%H%M%S", std::localtime(&now));
    return lpw::train::make_new_folder(name).string();
  }

  template <class Data>
  int concluded(Network& network, const Data& data) {
    if (!processes_.leads()) return 0;
    if (!options_.exported.empty()) {
      auto [about, sample] = exported(options_, data);
      export_network(options_.exported, network, sample, std::move(about));
      display_.line("exported " + lpw::train::one_line(options_.exported));
    }
    if constexpr (requires { conclude(options_, network, display_); }) conclude(options_, network, display_);
    return 0;
  }

  const Options& options_;
  lpw::distributed::AnyCommunicator& processes_;
  std::string config_;
  lpw::train::Display display_;
};

/// What a program does for an element type and a device: it trains, unless the Example has a Program of its own, made
/// and run like a TrainerProgram.
template <class Example, class T, class Device>
struct ProgramOf {
  using type = TrainerProgram<Example, T, Device>;
};
template <class Example, class T, class Device>
  requires requires { typename Example::template Program<T, Device>; }
struct ProgramOf<Example, T, Device> {
  using type = typename Example::template Program<T, Device>;
};

}  // namespace example
