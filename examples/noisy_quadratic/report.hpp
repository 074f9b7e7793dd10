// What the program prints and writes: every loss as expected and as simulated.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/text.hpp>

#include "closed_form.hpp"
#include "simulation.hpp"

namespace quadratic {

/// A loss at a time of recording.
struct Row {
  std::string training, readout;
  std::int64_t iterations = 0, samples = 0, members = 1;
  double expected = 0, simulated = 0, standard_error = 0, off = 0;  // off: in standard errors
  double limit = 0;                                                 // NaN where there is none
  bool last = false;                                                // of its training
};

/// A training's losses at all times.
[[nodiscard]] inline std::vector<Row> compare(const Problem& problem, const Training& training,
                                              const std::vector<Expected>& expected, std::uint64_t seed,
                                              std::int64_t repeats) {
  const auto simulated = simulated_losses(problem, training, seed, repeats);
  const auto limits = training.constant_rates() ? limit_losses(problem, training) : Readouts<LossMoments>{};
  std::vector<Row> rows;
  for (std::size_t at = 0; at < expected.size(); ++at)
    for (std::size_t readout = 0; readout < readout_names.size(); ++readout) {
      if (!expected[at].losses[readout]) continue;
      const LossMoments& loss = *expected[at].losses[readout];
      const double found = simulated[at][readout].value();
      Row row{.training = training.name,
              .readout = std::string(readout_names[readout]),
              .iterations = expected[at].iteration,
              .samples = expected[at].samples,
              .members = std::max(training.members, training.batch),
              .expected = loss.mean,
              .simulated = found,
              .standard_error = std::sqrt(loss.variance / static_cast<double>(repeats)),
              .off = standard_errors(found, loss, repeats),
              .limit = limits[readout] ? limits[readout]->mean : std::nan(""),
              .last = at + 1 == expected.size()};
      if (readout == 0 && !training.late_phase()) row.readout = "last";
      if (row.readout == "swa" && training.constant_rates()) row.limit = 0;
      rows.push_back(std::move(row));
    }
  return rows;
}

/// The largest relative difference between two accounts of the same losses, in mean or variance; NaN counts.
[[nodiscard]] inline double largest_difference(const std::vector<Expected>& a, const std::vector<Expected>& b) {
  double largest = 0;
  const auto add = [&](double x, double y) {
    const double difference = std::abs(x - y) / std::max(std::abs(y), 1e-300);
    if (!(difference <= largest)) largest = difference;
  };
  for (std::size_t at = 0; at < a.size(); ++at)
    for (std::size_t readout = 0; readout < readout_names.size(); ++readout)
      if (a[at].losses[readout]) {
        add(a[at].losses[readout]->mean, b[at].losses[readout].value().mean);
        add(a[at].losses[readout]->variance, b[at].losses[readout].value().variance);
      }
  return largest;
}

/// The rows as comma-separated values.
[[nodiscard]] inline std::string csv(const std::vector<Row>& rows) {
  std::string text = "training,readout,members,iterations,minibatches,expected,simulated,standard_error,off,limit\n";
  for (const Row& row : rows)
    text += lpw::to_text(row.training, ',', row.readout, ',', row.members, ',', row.iterations, ',', row.samples, ',',
                         lpw::shortest(row.expected), ',', lpw::shortest(row.simulated), ',',
                         lpw::shortest(row.standard_error), ',', lpw::significant(row.off, 4), ',',
                         lpw::is_nan(row.limit) ? "" : lpw::shortest(row.limit), '\n');
  return text;
}

/// Prints each training's last rows.
inline void print_table(const std::vector<Row>& rows) {
  std::printf("  %-26s %-16s %7s %12s %12s %10s %6s %12s\n", "training", "loss of", "K", "closed form", "simulated",
              "std error", "off by", "limit");
  for (const Row& row : rows)
    if (row.last)
      std::printf("  %-26s %-16s %7lld %12.6f %12.6f %10.6f %6.2f %12s\n", row.training.c_str(), row.readout.c_str(),
                  static_cast<long long>(row.members), row.expected, row.simulated, row.standard_error, row.off,
                  lpw::is_nan(row.limit) ? "" : lpw::fixed(row.limit, 6).c_str());
}

/// How many rows are more than three standard errors off, which NaN is.
[[nodiscard]] inline std::int64_t beyond_three(const std::vector<Row>& rows) {
  return std::count_if(rows.begin(), rows.end(), [](const Row& row) { return !(std::abs(row.off) <= 3); });
}
[[nodiscard]] inline std::string verdict(const std::vector<Row>& rows) {
  double largest = 0;
  for (const Row& row : rows)
    if (!(std::abs(row.off) <= largest)) largest = std::abs(row.off);
  return lpw::to_text(std::ssize(rows), " losses are compared; the largest difference is ", lpw::fixed(largest, 2),
                      " standard errors, and ", beyond_three(rows),
                      " are larger than three (by chance, one in 370 of those that are independent)");
}

}  // namespace quadratic
