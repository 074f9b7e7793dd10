// The end of a run's members: one plain network, by the options' choice, with fresh statistics where they belong to
// other weights.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <lpw/late_phase/fitted.hpp>
#include <lpw/late_phase/greedy.hpp>
#include <lpw/train/fresh_statistics.hpp>

namespace lpw::inline LPW_ABI::train {

/// A task that has held-out samples, or may have: what is chosen by them.
template <class T, class Network>
concept HoldsOut = requires(const T& task, Network& network) {
  { task.holds_out() } -> std::convertible_to<bool>;
  { task.held_out_scores(network) } -> std::same_as<std::vector<HeldOutScore>>;
};

/// Whether a task has held-out samples.
template <class Network, class Task>
[[nodiscard]] bool holds_out(const Task& task) {
  if constexpr (HoldsOut<Task, Network>) return task.holds_out();
  return false;
}

/// What members score on held-out samples. Counts the passes.
template <class Run, class Network>
[[nodiscard]] std::vector<HeldOutScore> held_out_scores(Run& run, Network& network) {
  auto scores = run.task.held_out_scores(network);
  for (const HeldOutScore& score : scores) run.progress.work.forward += score.samples;
  return scores;
}

namespace detail {

/// "0.5 0.25 0.25"
[[nodiscard]] inline std::string coefficients_text(const std::vector<double>& coefficients) {
  std::string text;
  for (const double a : coefficients) text += (text.empty() ? "" : " ") + fixed(a, 3);
  return text;
}

template <class Run>
[[nodiscard]] std::vector<double> greedy_coefficients(Run& run, Display& display) {
  std::vector<double> qualities;
  for (const HeldOutScore& score : held_out_scores(run, run.network)) qualities.push_back(score.quality);
  const auto choice = choose_members(qualities, [&](const std::vector<double>& coefficients) {
    auto plain = mixed_members(run.network, coefficients);
    recompute_statistics(run, plain, 0);
    return held_out_scores(run, plain).front().quality;
  });
  Choices& choices = run.progress.choices;
  choices.members_quality = choice.quality;
  choices.coefficients = choice.coefficients;
  choices.members.clear();
  std::string chosen;
  for (const std::int64_t k : choice.members) {
    chosen += to_text(chosen.empty() ? "" : ", ", k + 1);
    choices.members.push_back(k + 1);
  }
  display.line(to_text("collapse: of ", qualities.size(), " members ", chosen, " were chosen by held-out samples"));
  return choice.coefficients;
}

template <class Run>
[[nodiscard]] std::vector<double> fitted_coefficients(Run& run, Display& display) {
  const auto pass = [&](auto& network, bool record, auto&& f) {
    run.task.for_each_loss(network, Samples::held_out, record, [&](Tape& tape, const auto& loss, std::int64_t samples) {
      run.progress.work.forward += samples;
      run.progress.work.backward += record ? samples : 0;
      f(tape, loss, samples);
    });
  };
  MixtureLoss losses(run.network, pass);
  const auto fit = fit_coefficients(run.members(), losses, {.convex = run.options.serving.convex});
  run.progress.choices.coefficients = fit.coefficients;
  run.progress.choices.losses = {fit.losses.front(), fit.losses.back()};
  display.line(to_text("collapse: coefficients ", coefficients_text(fit.coefficients), " in ", fit.losses.size() - 1,
                       " steps, by which the held-out loss went from ", fixed(fit.losses.front(), 4), " to ",
                       fixed(fit.losses.back(), 4)));
  return fit.coefficients;
}

}  // namespace detail

/// Which of lpw::collapse's forms the options' averaging is, or what it starts from.
[[nodiscard]] inline Collapse form_of(Averaging averaging) {
  return averaging == Averaging::parameters ? Collapse::parameters : Collapse::affine;
}

/// The network as it would be collapsed now, where nothing is chosen by held-out samples.
template <class Run>
[[nodiscard]] auto collapsed_now(Run& run) {
  return collapsed(run.network, form_of(run.options.serving.collapse));
}

/// Turns a run's network into a plain one as its options say. Throws Interrupted where a signal came. Processes that
/// share members gather all to choose among them, and choose alike.
template <class Run>
void collapse_members(Run& run, Display& display) {
  const Averaging averaging = run.options.serving.collapse;
  if constexpr (HoldsOut<std::remove_reference_t<decltype(run.task)>, std::remove_reference_t<decltype(run.network)>>)
    if (run.members() > 1 && (averaging == Averaging::greedy || averaging == Averaging::fitted)) {
      run.team.gather(run.network, run);
      const auto coefficients = averaging == Averaging::greedy ? detail::greedy_coefficients(run, display)
                                                               : detail::fitted_coefficients(run, display);
      auto plain = mixed_members(run.network, coefficients);
      recompute_statistics(run, plain, 0);
      run.network = std::move(plain);
      return;
    }
  collapse(run.network, form_of(averaging));
}

}  // namespace lpw::inline LPW_ABI::train
