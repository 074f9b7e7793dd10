// The state of a run, and its way into a checkpoint and back.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/train/choices.hpp>
#include <lpw/train/scores.hpp>

namespace lpw::inline LPW_ABI::train {

/// Whether an epoch's row can say so of it: base or late, and what parts add to that.
[[nodiscard]] inline bool is_phase(const std::string& text) {
  const std::string first = text.substr(0, text.find('+'));
  return first == "base" || first == "late";
}

/// What a run has cost so far: how many samples went forward and backward through a member, in training, in gathering
/// statistics, and where something is chosen by held-out samples; scoring for reports apart.
struct Work {
  std::int64_t forward = 0, backward = 0;  // samples through a member
  double peak_memory = 0;                  // of its processes, in MB
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Work, forward, backward, peak_memory)

/// One row of metrics.csv.
struct EpochRecord {
  std::int64_t epoch = 0;                         // counted from 1
  std::string phase = {};                         // base, late, with "+swa" and so on while weights are averaged
  double learning_rate = 0;                       // of its last iteration
  std::optional<double> late_learning_rate = {};  // likewise; none where all late-phase weights are coefficients of
                                                  // templates that have a rate of their own
  double train_loss = 0, train_metric = 0;        // over the epoch; the metric as the task's words call it
  std::optional<double> test_metric = {};         // of the collapsed network; none after epochs that are not scored
  double seconds = 0;                             // of this epoch
  Work work = {};                                 // of the run so far
  /// That the optimizer moved, and of what would be served after the epoch, one of the snapshots where that is their
  /// ensemble; 0 in rows of before, which do not say.
  std::int64_t parameters_trained = 0, parameters_served = 0;
  std::optional<double> coefficient_learning_rate = {};  // of its last iteration; none: of no rates of their own
  /// Beside test_metric, under the names that summaries have: the collapsed network's test_nll, say, and where the
  /// ensemble is scored too test_nll_ensemble. Empty after epochs that are not scored, and in rows of before.
  Scores scores = {};
};

/// As checkpoints and metrics.csv have it.
inline void to_json(nlohmann::json& json, const EpochRecord& r) {
  json = {{"epoch", r.epoch},
          {"phase", r.phase},
          {"learning_rate", r.learning_rate},
          {"train_loss", r.train_loss},
          {"train_metric", r.train_metric},
          {"test_metric", r.test_metric ? nlohmann::json(*r.test_metric) : nlohmann::json()},
          {"seconds", r.seconds},
          {"work", r.work},
          {"parameters_trained", r.parameters_trained},
          {"parameters_served", r.parameters_served}};
  if (r.late_learning_rate) json["late_learning_rate"] = *r.late_learning_rate;
  if (r.coefficient_learning_rate) json["coefficient_learning_rate"] = *r.coefficient_learning_rate;
  if (!r.scores.empty()) json["scores"] = r.scores;
}
/// The same back; throws nlohmann's exceptions for what is missing.
inline void from_json(const nlohmann::json& json, EpochRecord& r) {
  const auto get = [&](const char* name, auto& value) { json.at(name).get_to(value); };
  get("epoch", r.epoch), get("phase", r.phase), get("seconds", r.seconds);
  get("learning_rate", r.learning_rate);
  get("train_loss", r.train_loss), get("train_metric", r.train_metric);
  if (json.contains("work")) get("work", r.work);  // which rows of before do not have
  if (json.contains("parameters_trained"))
    get("parameters_trained", r.parameters_trained), get("parameters_served", r.parameters_served);
  const auto rate = [&](const char* name, std::optional<double>& value) {
    if (json.contains(name)) value = json.at(name).get<double>();
  };
  rate("late_learning_rate", r.late_learning_rate), rate("coefficient_learning_rate", r.coefficient_learning_rate);
  if (json.contains("scores")) get("scores", r.scores);
  const auto& score = json.at("test_metric");
  r.test_metric = score.is_null() ? std::nullopt : std::optional(score.get<double>());
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Sums, loss, correct, seen)

/// The epoch after which the network scored best on held-out samples, where anything is chosen by that.
struct BestEpoch {
  std::int64_t epoch = 0;  // counted from 1; 0: none yet
  double quality = 0;      // HeldOutScore::quality

  /// Takes a later epoch's if it is better; a score that is NaN never is.
  void offer(std::int64_t later, double score) {
    if (!is_nan(score) && (epoch == 0 || score > quality)) epoch = later, quality = score;
  }
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BestEpoch, epoch, quality)

/// Where a run stands, beside its tensors.
struct Progress {
  std::int64_t epoch = 0, iteration = 0;                  // the next ones to train
  std::int64_t step = 0;                                  // iterations done, over all epochs
  bool released = false;                                  // whether there are members
  std::int64_t base_steps = 0, late_steps = 0;            // the optimizer's
  std::map<std::string, std::int64_t> missed_steps = {};  // likewise, by parameters' names
  double epoch_seconds = 0, seconds = 0;                  // seconds: over all processes
  Sums sums = {};                                         // of this epoch
  Scores before_release = {};                             // of the plain network; empty where none was scored
  std::vector<EpochRecord> history = {};                  // of all epochs that are over
  Work work = {};                                         // over all processes
  BestEpoch best_epoch = {};                              // by held-out samples, for an early stop
  Choices choices = {};                                   // at the end; not recorded
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Progress, epoch, iteration, step, released, base_steps, late_steps, missed_steps,
                                   epoch_seconds, seconds, sums, before_release, history, work, best_epoch)

/// Whether a checkpoint's progress counts in whole numbers: others would be cut off, or beyond any integer.
[[nodiscard]] inline bool counts_are_whole(const nlohmann::json& progress) {
  const auto whole = [](const nlohmann::json& in, std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return in.at(name).is_number_integer(); });
  };
  return whole(progress, {"epoch", "iteration", "step", "base_steps", "late_steps"}) &&
         whole(progress.at("best_epoch"), {"epoch"}) && whole(progress.at("sums"), {"correct", "seen"}) &&
         whole(progress.at("work"), {"forward", "backward"}) &&
         std::all_of(progress.at("missed_steps").begin(), progress.at("missed_steps").end(),
                     [](const auto& count) { return count.is_number_integer(); }) &&
         std::all_of(progress.at("history").begin(), progress.at("history").end(), [&](const auto& row) {
           return whole(row, {"epoch"}) && (!row.contains("work") || whole(row.at("work"), {"forward", "backward"})) &&
                  (!row.contains("parameters_trained") || whole(row, {"parameters_trained", "parameters_served"}));
         });
}

/// Whether a checkpoint's progress measures what a run can: times, memory and rates that are not negative, losses and
/// scores as of floats, and of these no more than a task has, with names as a task gives. False for NaN.
[[nodiscard]] inline bool measures_are_possible(const Progress& p) {
  constexpr double longest = 1e12, largest = 1e39;  // seconds; above any float, in bits per character too
  const auto within = [](double x, double least, double most) { return x >= least && x <= most; };
  const auto score = [&](double x) { return within(x, -largest, largest); };
  const auto memory = [&](const Work& work) { return within(work.peak_memory, 0, 1e12); };  // MB
  const auto scores = [&](const Scores& named) {
    return named.size() <= 16 && std::all_of(named.begin(), named.end(), [&](const auto& s) {
             return score(s.second) &&
                    s.first.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == s.first.npos;
           });
  };
  const auto row = [&](const EpochRecord& r) {
    return within(r.seconds, 0, longest) && memory(r.work) && within(r.learning_rate, 0, largest) &&
           within(r.late_learning_rate.value_or(0), 0, largest) &&
           within(r.coefficient_learning_rate.value_or(0), 0, largest) && score(r.train_loss) &&
           score(r.train_metric) && score(r.test_metric.value_or(0)) && scores(r.scores);
  };
  const double samples = static_cast<double>(std::max<std::int64_t>(p.sums.seen, 1));
  return within(p.seconds, 0, longest) && within(p.epoch_seconds, 0, longest) && memory(p.work) &&
         score(p.sums.loss / samples) && score(p.best_epoch.quality) && scores(p.before_release) &&
         std::all_of(p.history.begin(), p.history.end(), row);
}

/// The names of the epochs' scores beside the metric, in the order in which they came.
[[nodiscard]] inline std::vector<std::string> score_names(const std::vector<EpochRecord>& history) {
  std::vector<std::string> names;
  for (const EpochRecord& r : history)
    for (const auto& score : r.scores)
      if (std::find(names.begin(), names.end(), score.first) == names.end()) names.push_back(score.first);
  return names;
}

/// metrics.csv. Of the time an epoch's and the run's so far; what has a name of summary.json's is of the run so far, as
/// there. The cell of a score that was not taken is empty, and of a rate that no weights have. Scores beside the metric
/// have columns from the first epoch on that has them.
[[nodiscard]] inline std::string format_csv(const std::vector<EpochRecord>& history, const Words& words) {
  std::string csv = to_text("epoch,phase,learning_rate,late_learning_rate,train_loss,train_", words.metric, ',',
                            words.held_out, '_', words.metric,
                            ",epoch_seconds,seconds,samples_forward,samples_backward,peak_memory_mb,parameters_trained,"
                            "parameters_served,coefficient_learning_rate");
  const std::vector<std::string> names = score_names(history);
  for (const std::string& name : names) csv += ',' + name;
  csv += '\n';
  const auto exact = [](std::optional<double> x) { return x ? significant(*x, 9) : std::string(); };
  const auto count = [](std::int64_t parameters) { return parameters > 0 ? to_text(parameters) : std::string(); };
  double seconds = 0;
  for (const EpochRecord& r : history) {
    seconds += r.seconds;
    csv += to_text(r.epoch, ',', r.phase, ',', exact(r.learning_rate), ',', exact(r.late_learning_rate), ',',
                   exact(r.train_loss), ',', exact(r.train_metric), ',', exact(r.test_metric), ',', fixed(r.seconds, 3),
                   ',', fixed(seconds, 3), ',', r.work.forward, ',', r.work.backward, ',', fixed(r.work.peak_memory, 1),
                   ',', count(r.parameters_trained), ',', count(r.parameters_served), ',',
                   exact(r.coefficient_learning_rate));
    for (const std::string& name : names) {
      const auto score = std::find_if(r.scores.begin(), r.scores.end(), [&](const auto& s) { return s.first == name; });
      csv += ',' + (score == r.scores.end() ? std::string() : exact(score->second));
    }
    csv += '\n';
  }
  return csv;
}

/// An option that runs had before: what said by its value that nothing was to be done goes on as if it were not there.
struct FormerOption {
  const char* name;      // as `describe` has it
  std::int64_t nothing;  // the value
  const char* instead;   // how that is said now
};
/// All of them.
inline constexpr FormerOption former_options[] = {{"swa-start", -1, "average = \"swa\" with average-start = EPOCH"}};

/// What checkpoints did not record before: one without it is of a run with this value, or where that is negative, with
/// the present one, which other entries tell too.
struct LaterEntry {
  const char* name;    // as `describe` has it
  std::int64_t value;  // the value
};
inline constexpr LaterEntry later_entries[] = {{"classes", -1}, {"resize", 256}};

/// Options of which another value can be had of a checkpoint as it is, by evaluating it.
inline constexpr std::string_view evaluation_options[] = {"collapse", "serve", "test-subset"};

/// Throws FileError, naming each option that differs, unless a checkpoint's options are the present ones. Of "epochs"
/// there may be more now: whatever depends on their number must be recorded under another name, with the value that
/// follows from it.
inline void require_same_options(nlohmann::json saved, const nlohmann::json& present, const std::string& path) {
  for (const FormerOption& former : former_options)
    if (!present.contains(former.name) && saved.is_object() &&
        saved.value(former.name, nlohmann::json()) == former.nothing)
      saved.erase(former.name);
  for (const LaterEntry& later : later_entries)
    if (present.contains(later.name) && saved.is_object() && !saved.contains(later.name))
      saved[later.name] = later.value < 0 ? present.at(later.name) : nlohmann::json(later.value);
  std::string differences;
  const auto text = [](const nlohmann::json& options, const std::string& key) {
    return options.contains(key) ? options.at(key).dump() : std::string("not set");
  };
  nlohmann::json keys = saved;
  keys.update(present);
  const auto more_epochs = [&](const std::string& key) {
    const auto epochs = [&](const nlohmann::json& options) { return options.value(key, nlohmann::json()); };
    return key == "epochs" && epochs(saved).is_number() && epochs(present).is_number() &&
           epochs(present) > epochs(saved);
  };
  bool evaluation = true;  // and nothing else differs
  for (const auto& [key, value] : keys.items()) {
    if (text(saved, key) == text(present, key) || more_epochs(key)) continue;
    differences += (differences.empty() ? "" : "; ") + key + " was " + text(saved, key) + ", now " + text(present, key);
    evaluation = evaluation && std::find(std::begin(evaluation_options), std::end(evaluation_options), key) !=
                                   std::end(evaluation_options);
  }
  require<FileError>(differences.empty(), path, ": belongs to a run with other options: ", differences,
                     evaluation ? "; to choose that anew, evaluate the checkpoint, with `eval`; to train on, resume "
                                  "with those"
                                : "; resume with those, or start another run, with another `path`");
}

}  // namespace lpw::inline LPW_ABI::train
