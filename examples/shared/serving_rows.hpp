// The options of what becomes of the members at the end, and of what is written beside the run; and what they mean for
// the library.
#pragma once

#include <optional>
#include <string>

#include <lpw/train/serving_options.hpp>

#include "numbers.hpp"
#include "option_table.hpp"

namespace example {

/// What --serve asks for, or nothing where that is none of what there is.
[[nodiscard]] inline std::optional<lpw::train::ServingOptions> parse_serve(const std::string& text) {
  using lpw::train::Served;
  if (text == "collapsed") return lpw::train::ServingOptions{};
  if (text == "ensemble") return lpw::train::ServingOptions{.served = Served::ensemble};
  if (text == "snapshots") return lpw::train::ServingOptions{.served = Served::snapshots};
  const std::string prefix = "dropout:";
  if (!text.starts_with(prefix)) return std::nullopt;
  const auto samples = read_number<std::int64_t>(text.substr(prefix.size()));
  if (!samples || *samples < 1 || *samples > 1'000'000) return std::nullopt;
  return lpw::train::ServingOptions{.served = Served::dropout, .dropout_samples = *samples};
}

/// Throws OptionError for dropout samples of a network without dropout.
template <class O>
[[nodiscard]] lpw::train::ServingOptions serving_options(const O& o) {
  using lpw::train::Averaging;
  auto result = parse_serve(o.serve).value_or(lpw::train::ServingOptions{});
  result.collapse = o.collapse == "parameters"         ? Averaging::parameters
                    : o.collapse == "greedy"           ? Averaging::greedy
                    : o.collapse.starts_with("fitted") ? Averaging::fitted
                                                       : Averaging::affine;
  result.convex = o.collapse == "fitted:convex";
  result.best = o.best;
  result.patience = o.patience;
  lpw::require<lpw::OptionError>(result.served != lpw::train::Served::dropout || o.dropout > 0, "--serve ", o.serve,
                                 ": without dropout its samples are all alike; train with --dropout above 0");
  return result;
}

namespace detail {

template <class O>
std::optional<Idle> without_others(const O& o);
template <class O>
std::optional<Idle> without_training(const O& o);

/// Why what is done with members at the end does nothing.
template <class O>
std::optional<Idle> without_collapse(const O& o) {
  if (o.evaluates_model()) return Idle{"eval", "it is a plain network"};
  return without_others(o);
}

/// Why there are no lines between members to search.
template <class O>
std::optional<Idle> without_lines(const O& o) {
  if (const auto idle = without_training(o)) return idle;
  return without_others(o);
}

template <class O>
OptionTable<O> serving_rows() {
  return {
      {.name = "collapse",
       .member = &O::collapse,
       .help = "how members become one network: affine (batch norms by the mean of their maps), parameters, greedy "
               "(members chosen by held-out samples), fitted or fitted:convex (coefficients fitted on them)",
       .check = one_of({"affine", "parameters", "greedy", "fitted", "fitted:convex"}),
       .role = Role::evaluation,
       .section = Section::late_phase,
       .idle = without_collapse<O>,
       .later = true},
      {.name = "best",
       .member = &O::best,
       .help =
           "keep the best candidate by held-out samples: of the networks after each epoch, collapsed, and at the end",
       .role = Role::training,
       .section = Section::training,
       .later = true},
      {.name = "patience",
       .member = &O::patience,
       .help =
           "stop after so many epochs without a better score on held-out samples than before, counted from the release "
           "of members, the start of --average and the first snapshot to serve on; --best keeps the best epoch's "
           "network; 0: train all --epochs",
       .check = at_least<std::int64_t>(0),
       .role = Role::training,
       .section = Section::training,
       .later = true},
      {.name = "serve",
       .member = &O::serve,
       .help = "what the summary's headline is of: collapsed, ensemble (of members), snapshots (their ensemble), or "
               "dropout:SAMPLES, the mean of so many dropout samples",
       .check = {.complaint =
                     [](const std::string& text) {
                       return parse_serve(text)
                                  ? std::string()
                                  : "expected collapsed, ensemble, snapshots or dropout:SAMPLES, found " + text;
                     }},
       .role = Role::evaluation,
       .section = Section::run,
       .idle = [](const O& o) -> std::optional<Idle> {
         if (o.evaluates_model()) return Idle{"eval", "it is a plain network that is scored as it is"};
         return std::nullopt;
       },
       .later = true},
      {.name = "line-search",
       .member = &O::line_search,
       .help = "at the end, the loss at so many points between two members, and between a member and the mean: "
               "line_search.csv and line_search.svg in the run folder; 0: none",
       .check = range<std::int64_t>(2, 1'000'000, 0),
       .role = Role::program,
       .section = Section::late_phase,
       .idle = without_lines<O>},
      {.name = "tensorboard",
       .member = &O::tensorboard,
       .help = "write losses, rates and scores into event files in the run folder, for TensorBoard",
       .role = Role::program,
       .section = Section::run,
       .idle = without_training<O>},
  };
}

}  // namespace detail

}  // namespace example
