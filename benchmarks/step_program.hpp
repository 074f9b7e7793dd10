// What the programs that time training steps share: the command line, and the table and JSON they end in. The members
// of a run in JSON are those that peers/measure.py writes.
#pragma once

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <lpw/cpu/base/parallel.hpp>

#include "step_options.hpp"

namespace benchmarks {

/// Fills `options`; returns the exit status where the program is to end.
[[nodiscard]] inline std::optional<int> parse_step_options(StepOptions& options, const char* purpose, int argc,
                                                           char** argv) {
  CLI::App app(purpose);
  app.add_option(
         "models", options.models,
         "wrn-DEPTH-WIDEN, resnet50 or another of the catalogue, lstm; with -eval: the plain network's evaluation, "
         "on the CPU")
      ->capture_default_str();
  app.add_option("--precision", options.precisions, "precisions")->delimiter(',')->capture_default_str();
  app.add_option("--members", options.members, "K, members")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--member-chunk", options.chunks, "members at a time; 0: all")->delimiter(',')->capture_default_str();
  app.add_option("--batch", options.batch, "samples per member; 0: 128 images, 32 of ImageNet's size, 20 sequences")
      ->capture_default_str();
  app.add_option("--late", options.late,
                 "late-phase weights, as the trainers take them: all, additive, ...; by default batchnorm,head, and "
                 "rank1 for lstm");
  app.add_option("--samples", options.samples, "measurements; 0: what --seconds holds, at least 3")
      ->capture_default_str();
  app.add_option("--steps", options.steps, "steps in a measurement")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "time for measuring a run")->capture_default_str();
  app.add_option("--limit", options.limit, "seconds after which no run begins; 0: none")->capture_default_str();
  app.add_flag("--step-only", options.step_only, "measure nothing beside the step, so that the peak memory is its own");
  app.add_option("--json", options.json, "also write the results to this file, a line of JSON for each run");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return std::nullopt;
}

/// Prints a row for each run, and writes it as a line of JSON at once: what was measured outlives a program that is
/// stopped.
class StepReport {
 public:
  using Json = nlohmann::ordered_json;

  /// An empty path is no file. Throws FileError if it cannot be written.
  StepReport(const char* device, const StepOptions& options)
      : device_(device), limit_(options.limit), path_(options.json) {
    if (path_.empty()) return;
    file_.open(path_);
    lpw::require<lpw::FileError>(file_.good(), path_, ": cannot be written");
  }

  /// Whether there is time for another run; if not, its line says so.
  [[nodiscard]] bool has_time(const StepShape& shape, const std::string& precision) {
    if (limit_ <= 0 || std::chrono::duration<double>(Clock::now() - start_).count() < limit_) return true;
    add_missing(shape, precision, "no time left");
    return false;
  }

  /// A run's times in seconds; `more` holds what only some programs measure.
  void add(const StepShape& shape, const std::string& precision, const std::vector<double>& times, const Json& more) {
    std::vector<double> milliseconds;
    for (const double time : times) milliseconds.push_back(time * 1e3);
    Json run = described(shape, precision);
    run.update(Json{{"milliseconds", median(milliseconds)},
                    {"low", quantile(milliseconds, 0.25)},
                    {"high", quantile(milliseconds, 0.75)},
                    {"samples", milliseconds.size()},
                    {"peak_rss_mb", peak_rss_mb()}});
    if (evaluates(shape.model)) run["images_per_second"] = static_cast<double>(shape.batch) / median(times);
    run.update(more);
    print(run);
    write(run);
  }

  /// A run that could not be measured, and why.
  void add_missing(const StepShape& shape, const std::string& precision, const std::string& why) {
    Json run = described(shape, precision);
    run["missing"] = why;
    std::printf("%-14s %-5s K %2d %-8s %s\n", shape.model.c_str(), precision.c_str(), static_cast<int>(shape.members),
                run["variant"].get<std::string>().c_str(), why.c_str());
    write(run);
  }

 private:
  [[nodiscard]] Json described(const StepShape& shape, const std::string& precision) const {
    return {{"program", "lpw"},         {"work", shape.model},          {"variant", variant(shape)},
            {"members", shape.members}, {"batch", shape.batch},         {"precision", precision},
            {"device", device_},        {"threads", lpw::max_threads()}};
  }

  [[nodiscard]] static std::string variant(const StepShape& shape) {
    const std::string text = shape.chunk ? lpw::to_text("chunk ", shape.chunk) : "batched";
    return shape.late.empty() || shape.members == 1 ? text : shape.late + ' ' + text;
  }

  void write(const Json& run) {
    if (path_.empty()) return;
    file_ << run.dump() << std::endl;
    lpw::require<lpw::FileError>(file_.good(), path_, ": cannot be written");
  }

  static void print(const Json& run) {
    const auto number = [&](const char* name) { return run[name].get<double>(); };
    std::printf("%-14s %-5s K %2d %-8s %9.2f ms (%.2f to %.2f)  per member %8.2f ms",
                run["work"].get<std::string>().c_str(), run["precision"].get<std::string>().c_str(),
                run["members"].get<int>(), run["variant"].get<std::string>().c_str(), number("milliseconds"),
                number("low"), number("high"), number("milliseconds") / number("members"));
    if (run.contains("images_per_second")) std::printf("  %8.0f images/s", number("images_per_second"));
    if (run.contains("pool_peak_mb")) std::printf("  pool %8.1f MB", number("pool_peak_mb"));
    if (run.contains("device_peak_mb")) std::printf("  device %8.1f MB", number("device_peak_mb"));
    if (run.contains("bare_ms"))
      std::printf("  bare %9.2f ms, share %.2f", number("bare_ms"), number("bare_ms") / number("milliseconds"));
    if (run.contains("activation_floor_mb"))
      std::printf("  floor %.1f MB, ratio %.2f", number("activation_floor_mb"),
                  number("pool_peak_mb") / number("activation_floor_mb"));
    std::printf("\n");
    std::fflush(stdout);
  }

  const char* device_;
  double limit_;
  std::string path_;
  std::ofstream file_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace benchmarks
