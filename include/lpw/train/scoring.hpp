// The rows of a run's results that the trainer itself scores at the end, with what each costs.
#pragma once

#include <concepts>
#include <optional>

#include <lpw/train/collapsing.hpp>
#include <lpw/train/cost.hpp>

namespace lpw::inline LPW_ABI::train {

/// A task that scores dropout samples.
template <class T, class Network>
concept SamplesDropout = requires(const T& task, Network& network, const Philox& random) {
  { task.evaluate_dropout(network, std::int64_t{}, random) } -> std::same_as<Scores>;
};

/// Each member's row and the ensemble's.
template <class Run>
[[nodiscard]] Results score_members(Run& run) {
  const auto& value = run.weights().value;
  const auto [released, together] =
      timed(run.task, {run.members(), run.parameters()}, [&] { return run.task.evaluate_members(run.network); });
  Results results;
  for (std::size_t k = 0; k < released.members.size(); ++k)
    results.push_back({to_text("member_", k + 1), released.members[k],
                       cost_of_pass(together, value.base.size() + value.late.dim(1))});
  results.push_back({"ensemble", released.ensemble, together});
  return results;
}

/// The scores of members averaged parameter by parameter, where that may differ from what is left: by batch norm, or by
/// a choice.
template <class Run>
[[nodiscard]] std::optional<Scores> score_by_parameters(Run& run) {
  const ServingOptions& serving = run.options.serving;
  if (run.members() == 1 || (run.weights().buffers.size() == 0 && !serving.best && !serving.chooses()))
    return std::nullopt;
  auto plain = collapsed(run.network, Collapse::parameters);
  return run.task.evaluate(plain);
}

/// Adds the row of dropout samples of the plain network, where they are what is served.
template <nn::Visitable Network, class Task>
void score_dropout(TrainingRun<Network, Task>& run, const Cost& plain, Results& results) {
  const ServingOptions& serving = run.options.serving;
  if (serving.served != Served::dropout) return;
  if constexpr (SamplesDropout<Task, Network>) {
    const auto [scores, cost] = timed(run.task, {serving.dropout_samples, plain.parameters}, [&] {
      return run.task.evaluate_dropout(run.network, serving.dropout_samples,
                                       Philox(run.options.seed, Stream::dropout_sample));
    });
    results.push_back({served_row(serving), scores, cost, run.progress.choices.weights_left()});
  }
}

}  // namespace lpw::inline LPW_ABI::train
