// The options of the noisy quadratic problem, and the trainings that they ask for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../shared/option_table.hpp"
#include "training.hpp"

namespace quadratic {

struct Options {
  static constexpr const char* program = "noisy_quadratic";
  static constexpr const char* purpose =
      "Trains on the noisy quadratic problem with SGD, large batches, weight averages and late-phase weights, and "
      "holds "
      "the losses against their closed forms.";

  std::int64_t dimensions = 10000, samples = 2000, members = 10, release = 1000, average_start = 1200,
               average_every = 1, repeats = 50, records = 40, steady_iterations = 50;
  double noise = 1, start = 0.3, lr = 0.1, late_lr = -1, sigma = 0, ema_decay = 0.95;
  std::string schedule = "anneal", steady_members = "1,2,4,8,16,32", out = "runs/noisy_quadratic";
  std::uint64_t seed = 0;
  int threads = 0;

  [[nodiscard]] Problem problem() const { return {.dimensions = dimensions, .noise = noise, .start = start}; }
  [[nodiscard]] double late_rate() const { return late_lr < 0 ? lr : late_lr; }
  [[nodiscard]] static const example::OptionTable<Options>& table();
};

namespace detail {

/// Why what concerns averages does nothing.
[[nodiscard]] inline std::optional<example::Idle> without_averages(const Options& o) {
  if (o.average_start >= 0) return std::nullopt;
  return example::Idle{"average-start", "no weights are averaged"};
}
[[nodiscard]] inline std::optional<example::Idle> without_steady_states(const Options& o) {
  if (o.steady_iterations > 0) return std::nullopt;
  return example::Idle{"steady-iterations", "no steady state is simulated"};
}

}  // namespace detail

inline const example::OptionTable<Options>& Options::table() {
  using namespace example;
  constexpr auto data = Section::data, training = Section::training, late = Section::late_phase, run = Section::run;
  static const OptionTable<Options> rows{
      {.name = "dimensions",
       .member = &Options::dimensions,
       .help = "directions of the problem, with curvatures 1, 1/2, 1/3, ...",
       .check = range<std::int64_t>(1, 10'000'000),
       .section = data},
      {.name = "noise",
       .member = &Options::noise,
       .help = "a minibatch moves the minimum by a normal number of variance NOISE / curvature in each direction",
       .check = positive(),
       .section = data},
      {.name = "start",
       .member = &Options::start,
       .help = "initial value of all weights; the minimum is at 0",
       .check = range(-1e12, 1e12),
       .section = data},
      {.name = "samples",
       .member = &Options::samples,
       .help = "minibatches in all, the same for every training",
       .check = range<std::int64_t>(1, 10'000'000),
       .section = training},
      {.name = "lr",
       .member = &Options::lr,
       .help = "learning rate",
       .check = positive(),
       .section = training,
       .field = "learning_rate"},
      {.name = "schedule",
       .member = &Options::schedule,
       .help = "decaying learning rates, beside constant ones: cosine, anneal, anneal:START:END:FINAL, "
               "steps:a,b,...:gamma; in minibatches",
       .section = training},
      {.name = "average-start",
       .member = &Options::average_start,
       .help = "minibatches before weights are averaged (SWA and EMA); -1: never",
       .check = at_least<std::int64_t>(-1),
       .section = training},
      {.name = "average-every",
       .member = &Options::average_every,
       .help = "iterations from one update of the averages to the next",
       .check = at_least<std::int64_t>(1),
       .section = training,
       .idle = detail::without_averages},
      {.name = "ema-decay",
       .member = &Options::ema_decay,
       .help = "decay of the exponential moving average, at each update",
       .check = range(0.0, 0.999999),
       .section = training,
       .idle = detail::without_averages},
      {.name = "members",
       .member = &Options::members,
       .help = "late-phase members K, and minibatches in a large batch",
       .check = range<std::int64_t>(1, 100'000),
       .section = late},
      {.name = "release",
       .member = &Options::release,
       .help = "minibatches before members are released",
       .check = at_least<std::int64_t>(0),
       .section = late},
      {.name = "late-lr",
       .member = &Options::late_lr,
       .help = "learning rate of late-phase weights; -1: as --lr",
       .check = range(0.0, 1e12, std::optional(-1.0)),
       .section = late},
      {.name = "sigma",
       .member = &Options::sigma,
       .help = "standard deviation of late-phase weights at release",
       .check = range(0.0, 1e12),
       .section = late},
      {.name = "repeats",
       .member = &Options::repeats,
       .help = "independent repeats of every training",
       .check = range<std::int64_t>(2, 1'000'000),
       .section = run},
      {.name = "records",
       .member = &Options::records,
       .help = "times at which losses are recorded, beside the first few",
       .check = range<std::int64_t>(1, 100'000),
       .section = run},
      {.name = "steady-members",
       .member = &Options::steady_members,
       .help = "numbers of members whose steady state is computed, joined by commas",
       .section = run,
       .list = true,
       .idle = detail::without_steady_states},
      {.name = "steady-iterations",
       .member = &Options::steady_iterations,
       .help = "iterations from the steady state on, which must not leave it; 0: no simulation of it",
       .check = range<std::int64_t>(0, 1'000'000),
       .section = run},
      {.name = "seed",
       .member = &Options::seed,
       .help = "of all random numbers",
       .check = at_least<std::uint64_t>(0, {}, ~std::uint64_t{0}),
       .section = run},
      {.name = "threads",
       .member = &Options::threads,
       .help = "CPU threads, 0: as many as the process may use; results do not depend on it",
       .check = range(0, 4096),
       .section = run},
      {.name = "out",
       .member = &Options::out,
       .help = "folder for loss.csv and steady.csv, which scripts/plot_quadratic.sh draws",
       .check = path_name(),
       .section = run}};
  return rows;
}

/// SGD at constant rates, without averages: what all trainings start from.
[[nodiscard]] inline Training plain(const Options& o) {
  return {.name = "sgd",
          .samples = o.samples,
          .learning_rate = o.lr,
          .late_rate = o.late_rate(),
          .sigma = o.sigma,
          .records = o.records};
}

/// The training with late-phase weights, its gradients of theta summed or averaged over the members.
[[nodiscard]] inline Training late_phase(const Options& o, lpw::optim::BaseGradient base_gradient) {
  Training training = plain(o);
  training.name = base_gradient == lpw::optim::BaseGradient::sum ? "late-phase sum" : "late-phase mean";
  training.members = o.members, training.release = o.release, training.base_gradient = base_gradient;
  return training;
}

/// The trainings whose losses are compared: at constant rates, then at decaying ones.
[[nodiscard]] inline std::vector<Training> compared_trainings(const Options& o) {
  std::vector<Training> result{plain(o), plain(o), late_phase(o, lpw::optim::BaseGradient::sum),
                               late_phase(o, lpw::optim::BaseGradient::mean)};
  result[1].name = "large batch", result[1].batch = o.members;
  for (Training& training : result)
    training.averaging = {.start = o.average_start, .every = o.average_every, .decay = o.ema_decay};
  const std::size_t constant = result.size();
  try {
    const auto schedule = lpw::optim::parse_schedule(o.schedule, o.lr, static_cast<double>(o.samples));
    for (std::size_t i = 0; i < constant; ++i) {
      result.push_back(result[i]);
      result.back().name += " decaying", result.back().schedule = schedule;
    }
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("`schedule`: ", error.what());
  }
  return result;
}

/// A training of K members, or of batches of K, that starts in its steady state.
[[nodiscard]] inline std::vector<Training> steady_trainings(const Options& o, std::int64_t members) {
  using lpw::optim::BaseGradient;
  std::vector<Training> result{plain(o), late_phase(o, BaseGradient::sum), late_phase(o, BaseGradient::mean)};
  result[0].name = "large batch", result[0].batch = members;
  for (Training& training : result) {
    training.release = 0, training.members = &training == &result[0] ? 1 : members;
    training.start = Start::limit, training.records = 1;
    training.samples = std::max<std::int64_t>(1, o.steady_iterations) * members;
  }
  result[0].late_rate = 0;  // one member, of which theta takes all steps: a plain network
  return result;
}

[[nodiscard]] inline std::vector<std::int64_t> steady_members(const Options& o) {
  std::vector<std::int64_t> result;
  for (const auto part : lpw::split_text(o.steady_members, ',')) {
    const auto count = example::read_number<std::int64_t>(part);
    lpw::require<lpw::OptionError>(count && *count >= 1 && *count <= 100'000, "`steady_members` ", o.steady_members,
                                   ": expected whole numbers from 1 to 100000, joined by commas");
    lpw::require<lpw::OptionError>(std::find(result.begin(), result.end(), *count) == result.end(), "`steady_members` ",
                                   o.steady_members, ": names ", *count, " twice");
    result.push_back(*count);
  }
  return result;
}

}  // namespace quadratic
