// The noisy quadratic problem: what SGD, large batches, weight averages and late-phase weights do to the loss, in
// closed form and as lpw does it, at equal numbers of minibatches. docs/noisy_quadratic.md derives the closed forms.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <system_error>

#include <lpw/io/file.hpp>
#include <lpw/train/printable.hpp>

#include "../shared/declare_option.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

using namespace quadratic;

std::optional<int> parse(Options& options, int argc, char** argv) {
  CLI::App app(Options::purpose);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  for (const auto& row : Options::table())
    row.visit(options, [&](auto& value) { example::declare_option(app, row, value); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s (see --help)\n", Options::program, lpw::train::one_line(error.what()).c_str());
    return 2;
  }
  for (const auto& row : Options::table())
    if (const auto why = row.idle_in(options); why && app.get_option("--" + row.name)->count() > 0)
      lpw::fail<lpw::OptionError>(example::refusal(row.name, *why));
  return std::nullopt;
}

void append(std::vector<Row>& rows, std::vector<Row> more) {
  rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// All trainings at all times.
std::vector<Row> compare_trainings(const Options& options, const Problem& problem) {
  std::vector<Row> rows;
  double difference = 0;
  for (const Training& training : compared_trainings(options)) {
    auto expected = expected_losses(problem, training);
    if (training.constant_rates()) {
      auto closed = closed_form_losses(problem, training);
      difference = std::max(difference, largest_difference(closed, expected));
      expected = std::move(closed);
    }
    append(rows, compare(problem, training, expected, options.seed, options.repeats));
    std::printf("%s: %lld iterations, %lld repeats\n", training.name.c_str(),
                static_cast<long long>(expected.back().iteration), static_cast<long long>(options.repeats));
    std::fflush(stdout);
  }
  std::printf("\nafter %lld minibatches, excess loss (closed forms and products of maps agree to %s):\n",
              static_cast<long long>(options.samples), lpw::significant(difference, 2).c_str());
  print_table(rows);
  std::printf("%s\n\n", verdict(rows).c_str());
  return rows;
}

/// Steady states of 1, 2, ... members. Rates that have none are passed over, with the reason.
std::vector<Row> compare_steady_states(const Options& options, const Problem& problem) {
  std::vector<Row> rows;
  for (const std::int64_t members : steady_members(options))
    for (const Training& training : steady_trainings(options, members)) {
      try {
        validate(problem, training);
      } catch (const lpw::OptionError& error) {
        std::printf("K = %lld: no steady state; %s\n", static_cast<long long>(members),
                    example::with_option_names(Options::table(), error.what()).c_str());
        continue;
      }
      auto now = compare(problem, training, closed_form_losses(problem, training), options.seed, options.repeats);
      std::erase_if(now, [](const Row& row) { return !row.last; });
      for (Row& row : now) row.members = members;
      append(rows, std::move(now));
    }
  std::printf("\nsteady state, as simulated after %lld iterations from it:\n",
              static_cast<long long>(options.steady_iterations));
  print_table(rows);
  std::printf("%s\n\n", verdict(rows).c_str());
  return rows;
}

/// Makes the folder of the results. Throws FileError where it, or they, could not be written.
void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error = std::error_code(errno, std::generic_category());
  lpw::require<lpw::FileError>(!error, folder.string(), ": cannot write there: ", error.message(),
                               "; choose another `out`");
  for (const char* name : {"loss.csv", "steady.csv"})
    lpw::require<lpw::FileError>(!std::filesystem::is_directory(folder / name), (folder / name).string(),
                                 ": is a folder, where a file is to be; choose another `out`");
}

/// Everything is checked before anything is computed.
int run(const Options& options) {
  const Problem problem = options.problem();
  const std::filesystem::path folder = options.out;
  if (options.threads > 0) lpw::set_max_threads(options.threads);
  (void)steady_members(options);
  for (const Training& training : compared_trainings(options)) validate(problem, training);
  make_folder(folder);
  const auto losses = compare_trainings(options, problem);
  lpw::io::write_file_atomically(folder / "loss.csv", csv(losses));
  if (options.steady_iterations > 0)
    lpw::io::write_file_atomically(folder / "steady.csv", csv(compare_steady_states(options, problem)));
  std::printf("draw it: scripts/plot_quadratic.sh %s\n", lpw::train::one_line(options.out).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    if (const auto exit = parse(options, argc, argv)) return *exit;
    return run(options);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; try fewer --dimensions or --repeats\n", Options::program);
  } catch (const std::exception& error) {
    const auto message = example::with_option_names(Options::table(), error.what());
    std::fprintf(stderr, "%s: %s\n", Options::program, lpw::train::one_line(message).c_str());
  }
  return 1;
}
