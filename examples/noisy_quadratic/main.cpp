// The noisy quadratic problem: what SGD, large batches, weight averages and late-phase weights do to the loss, in
// closed form and as lpw does it, at equal numbers of minibatches. docs/noisy_quadratic.md derives the closed forms.
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <utility>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/train/printable.hpp>

#include "../shared/output_folder.hpp"
#include "../shared/parse_options.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

using namespace quadratic;

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

/// Everything is checked before anything is computed.
int run(const Options& options) {
  const Problem problem = options.problem();
  const std::filesystem::path folder = options.out;
  if (options.threads > 0) lpw::set_max_threads(options.threads);
  (void)steady_members(options);
  for (const Training& training : compared_trainings(options)) validate(problem, training);
  example::make_output_folder(folder, {"loss.csv", "steady.csv"});
  const auto losses = compare_trainings(options, problem);
  lpw::io::write_file_atomically(folder / "loss.csv", csv(losses));
  if (options.steady_iterations > 0)
    lpw::io::write_file_atomically(folder / "steady.csv", csv(compare_steady_states(options, problem)));
  std::printf("draw it: scripts/plot_quadratic.sh %s\n", lpw::train::one_line(options.out).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::main_with_options<quadratic::Options>(argc, argv, "fewer --dimensions or --repeats", run);
}
