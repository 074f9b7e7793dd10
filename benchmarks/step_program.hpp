// What the programs that time training steps share: options, repetitions, and the table and JSON they end in. The members of a run in
// JSON are those that peers/measure.py writes.
#pragma once

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <lpw/cpu/parallel.hpp>

#include "training_step.hpp"

namespace benchmarks {

struct StepOptions {
  std::vector<std::string> models = {"wrn-16-2"}, precisions = {"fp32", "bf16"};
  std::vector<std::int64_t> members = {1, 4, 10}, chunks = {0};
  std::int64_t batch = 0;  // 0: the model's usual one
  int samples = 0, steps = 1;  // samples are medians' values, each the mean of `steps` steps; 0: as many as a few seconds hold
  double seconds = 5;
  bool step_only = false;
  std::string json;

  /// Calls f(shape, precision) for every combination; members in chunks only where there are several.
  template <class F>
  void for_each_run(F&& f) const {
    for (const auto& model : models)
      for (const auto& precision : precisions)
        for (const auto k : members)
          for (const auto chunk : chunks)
            if (chunk < k || chunk == 0) f(StepShape{model, k, batch ? batch : model == "lstm" ? 20 : 128, chunk}, precision);
  }
};

/// Fills `options`; returns the exit status where the program is to end.
[[nodiscard]] inline std::optional<int> parse_step_options(StepOptions& options, const char* purpose, int argc, char** argv) {
  CLI::App app(purpose);
  app.add_option("models", options.models, "wrn-DEPTH-WIDEN ..., and on the CPU lstm")->capture_default_str();
  app.add_option("--precision", options.precisions, "precisions")->delimiter(',')->capture_default_str();
  app.add_option("--members", options.members, "K, members")->delimiter(',')->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--member-chunk", options.chunks, "members at a time; 0: all")->delimiter(',')->capture_default_str();
  app.add_option("--batch", options.batch, "samples per member; 0: 128 images, 20 sequences")->capture_default_str();
  app.add_option("--samples", options.samples, "measurements; 0: what --seconds holds, at least 3")->capture_default_str();
  app.add_option("--steps", options.steps, "steps in a measurement")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "time for measuring a run")->capture_default_str();
  app.add_flag("--step-only", options.step_only, "measure nothing beside the step, so that the peak memory is its own");
  app.add_option("--json", options.json, "also write the results to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return std::nullopt;
}

/// Whether another measurement is due after those taken, which began at `start`.
[[nodiscard]] inline bool more_samples(const StepOptions& options, std::size_t taken, Clock::time_point start) {
  if (options.samples > 0) return taken < static_cast<std::size_t>(options.samples);
  return taken < 3 || std::chrono::duration<double>(Clock::now() - start).count() < options.seconds;
}

/// Results of the runs so far; prints a row for each.
class StepReport {
 public:
  explicit StepReport(const char* device) : device_(device) {}

  /// A run's median, spread and memory; `more` holds what only some programs measure.
  void add(const StepShape& shape, const std::string& precision, const std::vector<double>& times, double pool_peak_mb,
           const nlohmann::ordered_json& more = nlohmann::ordered_json::object()) {
    std::vector<double> milliseconds;
    for (const double time : times) milliseconds.push_back(time * 1e3);
    nlohmann::ordered_json run{{"program", "lpw"},
                               {"work", shape.model},
                               {"variant", shape.chunk ? lpw::concat("chunk ", shape.chunk) : "batched"},
                               {"members", shape.members},
                               {"batch", shape.batch},
                               {"precision", precision},
                               {"device", device_},
                               {"threads", lpw::max_threads()},
                               {"milliseconds", median(milliseconds)},
                               {"low", quantile(milliseconds, 0.25)},
                               {"high", quantile(milliseconds, 0.75)},
                               {"samples", milliseconds.size()},
                               {"peak_rss_mb", peak_rss_mb()},
                               {"pool_peak_mb", pool_peak_mb}};
    run.update(more);
    print(run);
    runs_.push_back(std::move(run));
  }

  void write(const std::string& path) const {
    if (path.empty()) return;
    std::ofstream file(path);
    file << nlohmann::ordered_json{{"runs", runs_}}.dump(1) << '\n';
    lpw::require<lpw::FileError>(file.good(), path, ": cannot be written");
  }

 private:
  static void print(const nlohmann::ordered_json& run) {
    std::printf("%-10s %-5s K %2d %-8s %9.2f ms (%.2f to %.2f)  per member %8.2f ms  pool %8.1f MB",
                run["work"].get<std::string>().c_str(), run["precision"].get<std::string>().c_str(), run["members"].get<int>(),
                run["variant"].get<std::string>().c_str(), run["milliseconds"].get<double>(), run["low"].get<double>(),
                run["high"].get<double>(), run["milliseconds"].get<double>() / run["members"].get<double>(),
                run["pool_peak_mb"].get<double>());
    if (run.contains("bare_ms"))
      std::printf("  bare %9.2f ms, share %.2f", run["bare_ms"].get<double>(),
                  run["bare_ms"].get<double>() / run["milliseconds"].get<double>());
    if (run.contains("activation_floor_mb"))
      std::printf("  floor %.1f MB, ratio %.2f", run["activation_floor_mb"].get<double>(),
                  run["pool_peak_mb"].get<double>() / run["activation_floor_mb"].get<double>());
    std::printf("\n");
    std::fflush(stdout);
  }

  const char* device_;
  std::vector<nlohmann::ordered_json> runs_;
};

}  // namespace benchmarks
