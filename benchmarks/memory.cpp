// The peak of whole training processes beside what they cannot do without: runs the CIFAR trainer, which trains,
// evaluates, releases, saves and collapses, and reads each run's largest resident memory from the system.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "training_step.hpp"

namespace {

using namespace benchmarks;
namespace fs = std::filesystem;

struct Run {
  std::string model;
  std::int64_t members = 1, chunk = 0;
  bool rank_one = false;
};

struct Options {
  std::string program;
  std::int64_t train = 1280, test = 250, batch = 128;
  int epochs = 2;
  double limit = 0;  // the ratio above which the program fails; 0: any
};

/// Two epochs, the second with members; every run of the table that docs/performance.md shows.
[[nodiscard]] std::vector<Run> runs() {
  std::vector<Run> all;
  for (const char* model : {"wrn-10-1", "wrn-16-4"})
    for (const bool rank_one : {false, true})
      for (const std::int64_t members : {1, 5, 10})
        for (const std::int64_t chunk : {0, 1})
          if (members > 1 || (chunk == 0 && !rank_one)) all.push_back({model, members, chunk, rank_one});
  return all;
}

/// Bytes of the trainer's largest resident memory. Throws Error where it fails.
[[nodiscard]] double peak_of(const Options& options, const Run& run, const fs::path& out) {
  std::vector<std::string> arguments = {options.program,
                                        "--data",
                                        "synthetic",
                                        "--train-subset",
                                        std::to_string(options.train),
                                        "--test-subset",
                                        std::to_string(options.test),
                                        "--model",
                                        run.model,
                                        "--epochs",
                                        std::to_string(options.epochs),
                                        "--release-epoch",
                                        std::to_string(run.members > 1 ? options.epochs - 1 : options.epochs),
                                        "--members",
                                        std::to_string(run.members),
                                        "--late",
                                        run.rank_one ? "rank1,head" : "batchnorm,head",
                                        "--batch",
                                        std::to_string(options.batch),
                                        "--out",
                                        out.string()};
  if (run.members > 1) arguments.insert(arguments.end(), {"--member-chunk", std::to_string(run.chunk)});
  std::fflush(stdout);  // or the child would write it too
  const pid_t child = fork();
  lpw::require(child >= 0, "fork failed");
  if (child == 0) {
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    if (std::freopen("/dev/null", "w", stdout)) execv(argv[0], argv.data());
    std::perror(argv[0]);
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  lpw::require(wait4(child, &status, 0, &usage) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
               options.program, " failed");
  fs::remove_all(out);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

/// Prints a row. Returns the ratio.
double measure(const Options& options, const Run& run, const fs::path& out) {
  constexpr double image = 32 * 32 * 3, base = 60e6;
  const auto wide = wide_resnet_options(run.model);
  lpw::require<lpw::OptionError>(wide.has_value(), run.model, ": expected a Wide ResNet, whose floor is known");
  const StepShape shape{run.model, run.members, options.batch, run.chunk};
  const double floor = static_cast<double>(activation_floor(*wide, shape, sizeof(float)));
  const double data = static_cast<double>(options.train + options.test) * image, peak = peak_of(options, run, out);
  const double ratio = peak / (floor + data + base);
  std::printf("| %s | %s | %lld | %s | %.0f | %.0f | %.0f | %.2f |\n", run.model.c_str(),
              run.members == 1 ? "" : (run.rank_one ? "rank-1" : "batch norm"), static_cast<long long>(run.members),
              run.chunk ? std::to_string(run.chunk).c_str() : "all", peak / 1e6, floor / 1e6, data / 1e6, ratio);
  std::fflush(stdout);
  return ratio;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const fs::path examples = fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "examples";
  // In a build with CUDA that is the trainer without its libraries, which take 200 MB.
  options.program = (fs::exists(examples / "cpu") ? examples / "cpu" / "cifar" : examples / "cifar").string();
  std::string only;
  std::size_t rows = runs().size();
  CLI::App app{"Peak memory of training processes beside the floor of a step, the data set and 60 MB."};
  app.add_option("--program", options.program, "the trainer")->capture_default_str();
  app.add_option("--only", only, "run only what has this model")->capture_default_str();
  app.add_option("--rows", rows, "run only so many, from the first")->capture_default_str();
  app.add_option("--limit", options.limit, "fail where peak / (floor + data + 60 MB) is above this; 0: never")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const fs::path out = fs::temp_directory_path() / ("lpw_memory_" + std::to_string(getpid()));
  try {
    std::printf(
        "| model | late-phase weights | K | member chunk | peak, MB | floor, MB | data, MB | peak / (floor + data + "
        "60) |\n"
        "|---|---|---|---|---|---|---|---|\n");
    bool within = true;
    for (const Run& run : runs()) {
      if (rows-- == 0) break;
      if (!only.empty() && run.model != only) continue;
      const double ratio = measure(options, run, out);
      within = within && (options.limit == 0 || ratio <= options.limit);
    }
    return within ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_memory: %s\n", error.what());
    return 1;
  }
}
