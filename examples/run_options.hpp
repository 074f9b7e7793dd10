// The options that every trainer has, and what they mean for the library. A trainer's own Options derive from RunOptions, and stand beside
// free functions that shared code finds by their type:
//   for_each_own_option(options, f)   f(name, value) for its own options that make up a run's result
//   describe(options, data)           what a checkpoint records of the data: a JSON object
//   adopt_data(options, recorded, given)   takes the data from that record, for --eval
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/train/options.hpp>
#include <lpw/train/printable.hpp>

namespace example {

#ifdef LPW_WITH_CUDA
inline constexpr bool with_cuda = true;
#else
inline constexpr bool with_cuda = false;
#endif

/// The same place from wherever a program is started.
[[nodiscard]] inline std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

struct RunOptions {
  std::int64_t epochs, batch, members = 10, release_epoch, release_step = -1;
  std::string late;
  double sigma = 0;
  std::string optimizer = "sgd", base_gradient = "sum";
  double lr, late_lr = -1, momentum = 0.9, weight_decay = 0, late_weight_decay = -1, clip = 0;
  std::string schedule = "anneal", late_schedule = {};
  std::int64_t swa_start = -1;
  double dropout = 0;
  std::int64_t member_chunk = 0;
  std::string precision = "fp32", init = {};
  std::uint64_t seed = 0;
  int threads = 0;
  std::string device = "cpu";
  bool deterministic = false;
  std::string out = {};
  bool resume = false, dry_run = false, convert = false;
  std::int64_t eval_every = 1;
  double checkpoint_minutes = 10;
  std::string eval = {};
  nlohmann::json recorded = {};  // by the checkpoint in `eval`: the description of its run

  /// The initial learning rate of late-phase weights.
  [[nodiscard]] double late_rate() const { return late_lr < 0 ? lr : late_lr; }
  /// Whether `eval` is a saved plain network, and not a checkpoint.
  [[nodiscard]] bool evaluates_model() const { return eval.ends_with(".safetensors"); }
};

/// Calls f(name, value) for the options that, with the data, make up a run's result.
template <class Options, class F>
void for_each_run_option(Options& o, F&& f) {
  for_each_own_option(o, f);
  f("epochs", o.epochs), f("batch", o.batch), f("members", o.members), f("release-epoch", o.release_epoch);
  f("release-step", o.release_step), f("late", o.late), f("sigma", o.sigma), f("optimizer", o.optimizer);
  f("base-gradient", o.base_gradient), f("lr", o.lr), f("late-lr", o.late_lr), f("momentum", o.momentum);
  f("weight-decay", o.weight_decay), f("late-weight-decay", o.late_weight_decay), f("clip", o.clip), f("schedule", o.schedule);
  f("late-schedule", o.late_schedule), f("swa-start", o.swa_start), f("dropout", o.dropout), f("member-chunk", o.member_chunk);
  f("precision", o.precision), f("init", o.init), f("seed", o.seed), f("device", o.device);
  f("deterministic", o.deterministic);
}

/// The value of an option as checkpoints record it: texts without what JSON cannot hold, and schedules with the number of epochs written
/// out, so that a run whose schedule does not depend on that goes on for more epochs, and another is told which schedule to name.
template <class T>
[[nodiscard]] T recorded_value(const RunOptions& o, const std::string& name, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    const auto epochs = static_cast<double>(o.epochs);
    if (name == "schedule") return lpw::optim::expand_schedule(value, o.lr, epochs);
    if (name == "late-schedule") return lpw::optim::expand_schedule(value, o.late_rate(), epochs);
    return lpw::train::one_line(value);
  } else {
    return value;
  }
}

/// What a checkpoint records of its run: one made with other options, or a program whose sums round otherwise, is not continued. One that
/// is evaluated is taken as it is. `engine`: see Machine.
template <class Options, class Data>
[[nodiscard]] nlohmann::json description(const Options& o, const Data& data, const std::string& engine) {
  if (!o.recorded.is_null()) return o.recorded;
  nlohmann::json result = describe(o, data);
  result["engine"] = engine;
  for_each_run_option(o, [&](const char* name, const auto& value) { result[name] = recorded_value(o, name, value); });
  return result;
}

/// Whether an option says by what a network is computed, and not what it is: free to choose for --eval.
[[nodiscard]] inline bool names_machine(const std::string& option) {
  return option == "device" || option == "convolution" || option == "deterministic";
}

/// Takes the options of a run from its checkpoint, for --eval. Those for which given(name) holds must be the same, but for the machine and
/// what concerns only the data to be scored (Options::for_evaluation), which are the caller's to choose.
template <class Options, class Given>
void adopt(Options& o, const nlohmann::json& recorded, Given&& given) {
  std::string differences;
  const auto take = [&](const std::string& name, auto& value) {
    auto trained = value;
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>> && !std::is_same_v<std::decay_t<decltype(value)>, bool>)
      lpw::require<lpw::FileError>(recorded.at(name).is_number_integer(), o.eval, ": damaged: its ", name, " is not a whole number");
    recorded.at(name).get_to(trained);
    if (given(name) && (names_machine(name) || Options::for_evaluation(name))) return;
    if (given(name) && recorded_value(o, name, value) != trained)
      differences += lpw::to_text(differences.empty() ? "" : "; ", name, " was ", recorded.at(name), ", now ", nlohmann::json(value));
    value = std::move(trained);
  };
  try {
    for_each_run_option(o, take);
    lpw::require<lpw::OptionError>(differences.empty(), o.eval, ": was trained with other options: ", differences,
                                   "; leave them out, --eval takes them from the checkpoint");
    adopt_data(o, recorded, given);
  } catch (const nlohmann::json::exception&) {
    lpw::fail<lpw::FileError>(o.eval, ": is not a checkpoint of this trainer");
  }
  o.recorded = recorded;
}

/// A kind of late-phase weights as --late names it.
struct NamedGroup {
  std::string_view name;
  lpw::Group group;
};

/// Names out of `known` joined by commas, or "none", as groups.
template <std::size_t N>
lpw::Group parse_late(const std::string& text, const NamedGroup (&known)[N]) {
  std::string names;
  for (const auto& [name, group] : known) names += (names.empty() ? "" : ", ") + std::string(name);
  lpw::Group groups = lpw::Group::none;
  if (text == "none") return groups;
  for (const auto part : lpw::optim::detail::split(text, ',')) {
    const auto found = std::find_if(std::begin(known), std::end(known), [&](const NamedGroup& named) { return named.name == part; });
    lpw::require<lpw::OptionError>(found != std::end(known), "--late ", text, ": \"", part, "\" is not one of ", names,
                                   "; expected some of them joined by commas, or none");
    lpw::require<lpw::OptionError>(!contains(groups, found->group), "--late ", text, ": names ", part, " twice");
    groups = groups | found->group;
  }
  return groups;
}

/// Takes what all optimizers have.
template <class Optimizer>
Optimizer with_shared(const RunOptions& o, Optimizer optimizer) {
  optimizer.learning_rate = o.lr;
  optimizer.weight_decay = o.weight_decay;
  if (o.late_lr >= 0 || o.late_weight_decay >= 0)
    optimizer.late = {.learning_rate = o.late_rate(), .weight_decay = o.late_weight_decay < 0 ? o.weight_decay : o.late_weight_decay};
  optimizer.base_gradient = o.base_gradient == "mean" ? lpw::optim::BaseGradient::mean : lpw::optim::BaseGradient::sum;
  optimizer.clip = o.clip;
  return optimizer;
}

inline lpw::optim::OptimizerOptions optimizer_options(const RunOptions& o) {
  if (o.optimizer == "sgd") return with_shared(o, lpw::optim::SgdOptions{.momentum = o.momentum, .nesterov = o.momentum > 0});
  return with_shared(o, lpw::optim::AdamOptions{.decoupled = o.optimizer == "adamw"});
}

template <class Options>
lpw::train::TrainOptions train_options(const Options& o) {
  const auto epochs = static_cast<double>(o.epochs);
  return {.epochs = o.epochs,
          .members = o.members,
          .release_epoch = o.release_epoch,
          .release_step = o.release_step,
          .late = parse_late(o.late, Options::late_groups),
          .sigma = o.sigma,
          .optimizer = optimizer_options(o),
          .schedule = lpw::optim::parse_schedule(o.schedule, o.lr, epochs),
          .late_schedule = o.late_schedule.empty() ? lpw::optim::parse_schedule(o.schedule, o.lr, epochs)
                                                   : lpw::optim::parse_schedule(o.late_schedule, o.late_rate(), epochs),
          .swa_start = o.swa_start,
          .member_chunk = o.member_chunk,
          .seed = o.seed,
          .eval_every = o.eval_every,
          .checkpoint_minutes = o.checkpoint_minutes};
}

}  // namespace example
