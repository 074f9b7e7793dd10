// A run's way into a checkpoint and back.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>

#include <lpw/io/checkpoint.hpp>
#include <lpw/io/finite.hpp>
#include <lpw/io/flat_pair.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

/// Whether a run can stand at this point. A checkpoint may say anything, and sums of what it says must not overflow.
template <class Run>
[[nodiscard]] bool possible(const Run& run, const Progress& p) {
  const TrainOptions& o = run.options;
  const auto within = [](std::int64_t count, std::int64_t most) { return count >= 0 && count <= most; };
  if (!within(p.epoch, o.epochs) || p.history.size() != static_cast<std::size_t>(p.epoch)) return false;
  constexpr std::int64_t countless = std::int64_t{1} << 60;
  const auto counted = [&](const Work& work) {
    return within(work.forward, countless) && within(work.backward, countless);
  };
  for (std::size_t i = 0; i < p.history.size(); ++i)
    if (p.history[i].epoch != static_cast<std::int64_t>(i + 1) || !is_phase(p.history[i].phase) ||
        !counted(p.history[i].work) || !within(p.history[i].parameters_trained, countless) ||
        !within(p.history[i].parameters_served, countless))
      return false;
  const std::int64_t before = run.task.iterations(1), after = o.releases() ? run.task.iterations(o.members) : before;
  if (!within(p.iteration, p.epoch == o.epochs ? 0 : p.released ? after : before)) return false;
  // Every epoch takes at least one iteration, and at most those of the phase with more of them.
  if (p.step < 0) return false;
  const std::int64_t most = std::max(before, after), steps = p.step - p.iteration;
  if (steps < p.epoch || steps / most + (steps % most != 0) > p.epoch) return false;
  if (p.released && !o.due(p.epoch, p.step)) return false;
  if (!counted(p.work) || !within(p.best_epoch.epoch, p.epoch + (p.iteration > 0))) return false;
  for (const auto& [parameter, count] : p.missed_steps)
    if (!within(count, p.step)) return false;
  return within(p.base_steps, p.step) && within(p.late_steps, p.step) &&
         within(p.sums.seen, p.iteration > 0 ? run.task.samples(p.released ? o.members : 1) : 0) &&
         within(p.sums.correct, p.sums.seen);
}

/// The progress that a checkpoint records. Throws FileError for one of other options, or that says what cannot be.
template <class Run>
[[nodiscard]] Progress recorded_progress(const Run& run, const io::Checkpoint& checkpoint, const std::string& path) {
  Progress progress;
  try {
    require_same_options(checkpoint.meta.at("options"), run.description, path);
    auto recorded = checkpoint.meta.at("progress");
    require<FileError>(recorded.value("averaged", nlohmann::json(0)) == 0, path,
                       ": holds an average of weights as former versions of lpw kept it; take one of those to continue "
                       "or evaluate it");
    if (recorded.is_object()) {  // checkpoints of before do not say
      recorded.emplace("work", Work());
      recorded.emplace("best_epoch", BestEpoch());
      recorded.emplace("missed_steps", nlohmann::json::object());
    }
    require<FileError>(counts_are_whole(recorded), path, ": damaged: its progress is not in whole numbers");
    progress = recorded.get<Progress>();
  } catch (const nlohmann::json::exception&) {
    fail<FileError>(path, ": is not the checkpoint of a training run");
  }
  for (const auto& tensor : checkpoint.tensors) io::require_finite(tensor, path);
  require<FileError>(possible(run, progress), path, ": damaged: it stands at epoch ", progress.epoch, ", iteration ",
                     progress.iteration, ", where this run never is");
  require<FileError>(measures_are_possible(progress), path,
                     ": damaged: a time, rate, loss or score of its progress is none that a run can have");
  return progress;
}

/// A checkpoint with an optimizer's infinite state could not be resumed, and would replace one that can.
template <class Run>
void require_finite_tensors(const Run& run, const io::NamedTensors& tensors) {
  for (const io::NamedTensor& tensor : tensors) try {
      io::require_finite(tensor, "checkpoint");
    } catch (const FileError&) {
      run.fail_diverged(to_text("a value of '", tensor.name, "' became infinite or NaN"), run.progress.epoch,
                        run.progress.iteration);
    }
}

/// What the task carries on, which is nothing before the first step.
template <class Run>
void load_task(Run& run, const io::NamedTensors& tensors) {
  if (run.progress.step == 0) return;
  if constexpr (requires { run.task.load(tensors, data::ReadMembers(1)); })
    run.task.load(tensors, run.team.of(run.network));
  else if constexpr (requires { run.task.load(tensors, run.members()); })
    run.task.load(tensors, run.members());
}

}  // namespace detail

/// Continues a run that has not begun from a checkpoint. Throws FileError for one that is damaged or of other options.
template <class Run>
void load_run(Run& run, const std::filesystem::path& path) {
  const io::Checkpoint checkpoint = io::load_checkpoint(path);
  run.progress = detail::recorded_progress(run, checkpoint, path.string());
  for (auto& part : run.parts) part->load(run, checkpoint.tensors);  // which release all members, here
  auto& flat = run.weights();
  get_pair(checkpoint.tensors, "weights", flat.value);
  for (auto& [name, pair] : run.optimizer->states()) get_pair(checkpoint.tensors, name, pair);
  run.optimizer->set_steps({run.progress.base_steps, run.progress.late_steps});
  run.optimizer->set_missed_steps(run.progress.missed_steps);
  copy(to_device<typename Run::D>(checkpoint.tensors.template get<typename Run::W>("buffers", flat.buffers.shape())),
       flat.buffers);
  nn::for_each_buffer(run.network, [&](const std::string& name, const auto& buffer) {
    io::require_variance(name, to_host(buffer.value()), path.string());
  });
  if (run.progress.released && run.processes.several()) run.team.spread(run.network, run);
  detail::load_task(run, checkpoint.tensors);
}

/// Writes a checkpoint, the same whatever the number of processes: process 0 does, of all members, which all of them
/// gather for that. Throws NonFinite for a run that has diverged, FileError where it cannot be written: an older one is
/// intact then.
template <class Run>
void save_run(Run& run, const std::filesystem::path& path) {
  run.require_finite_weights();
  const bool spread = run.weights().share != nullptr;
  if (spread) run.team.gather(run.network, run);
  const auto steps = run.optimizer->steps();
  run.progress.base_steps = steps.base, run.progress.late_steps = steps.late;
  run.progress.missed_steps = run.optimizer->missed_steps();
  io::Checkpoint checkpoint{{{"options", run.description}, {"progress", run.progress}}, io::NamedTensors("checkpoint")};
  const auto& flat = run.weights();
  add_pair(checkpoint.tensors, "weights", flat.value);
  for (const auto& [name, pair] : run.optimizer->states()) add_pair(checkpoint.tensors, name, pair);
  if constexpr (requires { run.task.save(checkpoint.tensors); }) run.task.save(checkpoint.tensors);
  checkpoint.tensors.add("buffers", to_host(flat.buffers));
  for (auto& part : run.parts) part->save(run, checkpoint.tensors);
  detail::require_finite_tensors(run, checkpoint.tensors);
  if (run.processes.leads()) io::save_checkpoint(path, checkpoint);
  if (spread) run.team.spread(run.network, run);
}

}  // namespace lpw::inline LPW_ABI::train
