// The rows of the options that every trainer has. A trainer's Options has texts for three of them: batch_help,
// dropout_help and late_help.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>

#include "averaging_rows.hpp"
#include "coupling_rows.hpp"
#include "idle.hpp"
#include "option_table.hpp"
#include "run_options.hpp"
#include "serving_rows.hpp"

namespace example {

namespace detail {

/// Why the start of rank-1 factors does nothing.
template <class O>
std::optional<Idle> without_factors(const O& o) {
  if (auto why = without_release(o)) return why;
  if (contains(parse_late(o.late).groups, lpw::Group::rank_one)) return std::nullopt;
  return Idle{"late", "no rank-1 factors are released"};
}
template <class O>
std::optional<Idle> without_sgd(const O& o) {
  if (o.optimizer == "sgd") return std::nullopt;
  return Idle{"optimizer", o.optimizer + " has no such momentum"};
}
/// What says how the program goes about training.
template <class O>
std::optional<Idle> without_training(const O& o) {
  if (o.eval.empty()) return std::nullopt;
  return Idle{"eval", "nothing is trained"};
}
template <class O>
std::optional<Idle> without_model(const O& o) {
  if (!o.init.empty() || o.evaluates_model()) return std::nullopt;
  return Idle{"eval", "there is no model.safetensors to take weights from (--init or --eval)"};
}

/// Why the ensemble is not scored after epochs, or in any case.
template <class O>
std::optional<Idle> without_ensemble_scores(const O& o) {
  if (const auto idle = without_training(o)) return idle;
  if (o.serve == "ensemble") return Idle{"serve", "the ensemble is scored in any case"};
  return without_released_others(o);
}

/// Schedules with the number of epochs written out, so that a run whose schedule does not depend on that goes on for
/// more epochs, and another is told which schedule to name.
template <class O>
std::string schedule(const O& o) {
  return lpw::optim::expand_schedule(o.schedule, o.lr, static_cast<double>(o.epochs));
}
template <class O>
std::string late_schedule(const O& o) {
  return lpw::optim::expand_schedule(o.late_schedule, o.late_rate(), static_cast<double>(o.epochs));
}

template <class O>
std::string coefficient_schedule(const O& o) {
  return lpw::optim::expand_schedule(o.coefficient_schedule, o.coefficient_rate(), static_cast<double>(o.epochs));
}

template <class O>
OptionTable<O> training_options() {
  constexpr auto training = Section::training;
  return {
      {.name = "epochs",
       .member = &O::epochs,
       .help = "passes over the training data; a run may be resumed with more if its schedule does not depend on their "
               "number",
       .check = at_least<std::int64_t>(1),
       .role = Role::training,
       .section = training},
      {.name = "batch",
       .member = &O::batch,
       .help = O::batch_help,
       .check = at_least<std::int64_t>(1),
       .section = training},
      {.name = "optimizer",
       .member = &O::optimizer,
       .help = "sgd, adam or adamw",
       .check = one_of({"sgd", "adam", "adamw"}),
       .role = Role::training,
       .section = training},
      {.name = "lr",
       .member = &O::lr,
       .help = "initial learning rate",
       .check = positive(lpw::optim::max_learning_rate),
       .role = Role::training,
       .section = training,
       .field = "learning_rate"},
      {.name = "momentum",
       .member = &O::momentum,
       .help = "Nesterov momentum of sgd; 0: plain SGD",
       .check = range(0.0, 0.999999),
       .role = Role::training,
       .section = training,
       .idle = without_sgd<O>},
      {.name = "weight-decay",
       .member = &O::weight_decay,
       .help = "weight decay",
       .check = at_least(0.0),
       .role = Role::training,
       .section = training},
      {.name = "clip",
       .member = &O::clip,
       .help = "largest norm of the gradient of all weights together; 0: any",
       .check = at_least(0.0),
       .role = Role::training,
       .section = training},
      {.name = "schedule",
       .member = &O::schedule,
       .help =
           "by epoch: anneal (as in the paper, scaled to --epochs), anneal:START:END:FINAL, cosine, cosine:EPOCHS, "
           "steps:a,b,..:gamma or constant; by iteration: cosine-cycles:LENGTH[:FINAL], "
           "triangular-cycles:LENGTH:FIRST:LOWEST, one-cycle, one-cycle:LENGTH:RISE:FIRST:FINAL[:linear] or "
           "warmup:LENGTH[:FIRST]. LENGTH and such are epochs; FIRST, LOWEST and FINAL are rates. Curves follow one "
           "another as CURVE@LENGTH/CURVE, such as warmup:5/cosine; with smooth: before them all are by iteration, "
           "with iterations: all lengths are too",
       .role = Role::training,
       .section = training,
       .recorded = schedule<O>},
      {.name = "group",
       .member = &O::groups,
       .help = "parameters that are stepped otherwise than the rest, as NAMES:SETTINGS, such as "
               "conv1.*,fc.bias:lr=0.01,weight-decay=0; * stands for any part of a name, and settings are lr, "
               "weight-decay and, as the last one, schedule (as --schedule), or frozen. May be repeated: a parameter "
               "is in the first group that names it. Base and late-phase weights alike",
       .check = group_text(),
       .role = Role::training,
       .section = training,
       .repeated = true,
       .field = "groups",
       .recorded = recorded_groups<O>,
       .later = true},
      {.name = "freeze",
       .member = &O::freeze,
       .help = "names of parameters that stay as they are, joined by commas, where * stands for any part; goes before "
               "--group",
       .check = parameter_names(),
       .role = Role::training,
       .section = training,
       .list = true,
       .later = true},
      {.name = "dropout",
       .member = &O::dropout,
       .help = O::dropout_help,
       .check = range(0.0, 0.999),
       .role = Role::training,
       .section = training},
      {.name = "init",
       .member = &O::init,
       .help = "start from a saved plain network (model.safetensors, or scripts/to_safetensors.py's); its head is left "
               "aside, and said to be, where it is for other classes",
       .check = path_name(),
       .role = Role::training,
       .section = training},
      {.name = "convert",
       .member = &O::convert,
       .help = "take F16, BF16 or F64 weights of the file given to --init or --eval, rounded to F32",
       .role = Role::program,
       .section = training,
       .idle = without_model<O>},
      {.name = "seed",
       .member = &O::seed,
       .help = "seed of everything random",
       .check = at_least<std::uint64_t>(0, {}, std::numeric_limits<std::uint64_t>::max()),
       .section = training},
  };
}

/// Those of coefficients, for a trainer with networks made of templates.
template <class O>
OptionTable<O> coefficient_options() {
  OptionTable<O> table{
      {.name = "coefficient-lr",
       .member = &O::coefficient_lr,
       .help = "--lr of templates' coefficients; -1: that of late-phase weights",
       .check = at_least(0.0, std::optional(-1.0)),
       .section = Section::late_phase},
      {.name = "coefficient-weight-decay",
       .member = &O::coefficient_weight_decay,
       .help = "--weight-decay of templates' coefficients; -1: that of late-phase weights",
       .check = at_least(0.0, std::optional(-1.0)),
       .section = Section::late_phase},
      {.name = "coefficient-schedule",
       .member = &O::coefficient_schedule,
       .help = "--schedule of templates' coefficients, in the same forms; default: that of late-phase weights",
       .section = Section::late_phase,
       .recorded = coefficient_schedule<O>},
  };
  for (auto& option : table) option.idle = without_templates<O>, option.later = true;
  return table;
}

template <class O>
OptionTable<O> late_phase_options() {
  constexpr auto late_phase = Section::late_phase;
  OptionTable<O> table{
      {.name = "members",
       .member = &O::members,
       .help = "K, late-phase members after release; 1 trains one plain network, or with --release-one one member",
       .check = at_least<std::int64_t>(1),
       .section = late_phase},
      {.name = "release-epoch",
       .member = &O::release_epoch,
       .help = "T0, epochs before release; 0 releases at once, --epochs or more never",
       .check = at_least<std::int64_t>(0),
       .section = late_phase},
      {.name = "release-step",
       .member = &O::release_step,
       .help = "T0 in iterations, with which their epoch ends; goes before --release-epoch; -1: that counts",
       .check = at_least<std::int64_t>(0, -1),
       .section = late_phase},
      {.name = "release-one",
       .member = &O::release_one,
       .help = "with --members 1: release that one member at T0, the control that tells what the parametrisation of "
               "--late is worth by itself (rank1, templates, additive)",
       .section = late_phase,
       .idle = [](const O& o) -> std::optional<Idle> {
         if (o.members != 1) return Idle{"members", "several members are released in any case"};
         if (o.late == "none") return Idle{"late", "no late-phase weights are released"};
         return std::nullopt;
       },
       .later = true},
      {.name = "late", .member = &O::late, .help = O::late_help, .section = late_phase, .list = true},
      {.name = "sigma",
       .member = &O::sigma,
       .help = "sigma_0, release noise relative to each parameter's rms",
       .check = at_least(0.0),
       .section = late_phase,
       .idle = without_release<O>},
      {.name = "rank1-start",
       .member = &O::rank1_start,
       .help = "what rank-1 factors start from: ones, or as BatchEnsemble's, whose members are served together, signs "
               "(+1 or -1) or normal:DEVIATION (around 1; normal: 0.5)",
       .section = late_phase,
       .field = "rank_one_start",
       .idle = without_factors<O>,
       .later = true},
      {.name = "factor-decay",
       .member = &O::factor_decay,
       .help =
           "where weight decay pulls rank-1 factors, which as ones change nothing: to zero, to one, or none of them",
       .check = one_of({"zero", "one", "none"}),
       .section = late_phase,
       .idle = without_factors<O>,
       .later = true},
      {.name = "release-momentum",
       .member = &O::release_momentum,
       .help = "an optimizer's momentum and moments at release: carry, or zero, as of a new optimizer",
       .check = one_of({"carry", "zero"}),
       .section = late_phase,
       .idle = without_release<O>,
       .later = true},
      {.name = "release-every",
       .member = &O::release_every,
       .help = "epochs from a release to the next, before which the members are averaged into one; 0: one release",
       .check = at_least<std::int64_t>(0),
       .section = late_phase,
       .idle = without_release<O>,
       .later = true},
      {.name = "base-gradient",
       .member = &O::base_gradient,
       .help = "base gradient over the members: sum or mean",
       .check = one_of({"sum", "mean"}),
       .section = late_phase,
       .idle = without_released_others<O>},
      {.name = "late-lr",
       .member = &O::late_lr,
       .help = "--lr of late-phase weights; -1: --lr",
       .check = at_least(0.0, std::optional(-1.0)),
       .section = late_phase,
       .field = "late.learning_rate",
       .idle = without_late_weights<O>},
      {.name = "late-weight-decay",
       .member = &O::late_weight_decay,
       .help = "--weight-decay of late-phase weights; -1: --weight-decay",
       .check = at_least(0.0, std::optional(-1.0)),
       .section = late_phase,
       .idle = without_late_weights<O>},
      {.name = "late-schedule",
       .member = &O::late_schedule,
       .help = "--schedule of late-phase weights, in the same forms; default: --schedule",
       .section = late_phase,
       .idle = without_late_weights<O>,
       .recorded = late_schedule<O>},
      {.name = "member-chunk",
       .member = &O::member_chunk,
       .help = "members computed at a time, for less memory; 0: all",
       .check = at_least<std::int64_t>(0),
       .section = late_phase,
       .idle = without_released_others<O>},
  };
  if constexpr (requires(const O& o) { o.has_templates(); })
    for (auto&& row : coefficient_options<O>()) table.push_back(row);
  for (auto& option : table) option.role = Role::training;
  return table;
}

/// By what a run is computed, and what is done with it.
template <class O>
OptionTable<O> program_options() {
  constexpr auto run = Section::run;
  return {
      {.name = "config",
       .member = &O::config,
       .help = "read options from a file, such as those in examples/configs or a run folder's config.toml; those on "
               "the command line go "
               "before",
       .check = path_name(),
       .role = Role::command,
       .section = run},
      {.name = "out",
       .member = &O::out,
       .help = "run folder; default: runs/DATE-TIME",
       .check = path_name(),
       .role = Role::command,
       .section = run,
       .field = "path"},
      {.name = "resume",
       .member = &O::resume,
       .help = "continue the run in --out, with the options in its config.toml; start it if there is none yet",
       .role = Role::command,
       .section = run},
      {.name = "dry-run",
       .member = &O::dry_run,
       .help = "print the options and what would be trained, and exit",
       .role = Role::command,
       .section = run},
      {.name = "eval",
       .member = &O::eval,
       .help = "evaluate a checkpoint.lpw or model.safetensors, on the data it was trained for, and exit",
       .check = path_name(),
       .role = Role::command,
       .section = run},
      {.name = "export",
       .member = &O::exported,
       .help = "write the collapsed network to a file of this name at last: NAME.onnx, a graph that others run, or "
               "NAME.safetensors",
       .check = export_name(),
       .role = Role::command,
       .section = run,
       .idle = [](const O& o) -> std::optional<Idle> {
         if (!o.dry_run) return std::nullopt;
         return Idle{"dry-run", "nothing is trained"};
       }},
      {.name = "device",
       .member = &O::device,
       .help = "cpu, or cuda: an NVIDIA GPU",
       .check = one_of({"cpu", "cuda"}),
       .role = Role::machine,
       .section = run},
      {.name = "precision",
       .member = &O::precision,
       .help = "fp32, bf16, or on a GPU tf32: fp32 with products on tensor cores",
       .check = one_of({"fp32", "bf16", "tf32"}),
       .section = run},
      {.name = "deterministic",
       .member = &O::deterministic,
       .help = "the same bits in every run on a GPU too, which may be slower; the CPU's always are",
       .role = Role::machine,
       .section = run},
      {.name = "threads",
       .member = &O::threads,
       .help = "CPU threads, 0: as many as the process may use; results do not depend on it",
       .check = range(0, 4096),
       .role = Role::program,
       .section = run},
      {.name = "sum-chunk",
       .member = &O::sum_chunk,
       .help = "numbers of the shared weights' gradient that several processes (mpirun) sum at a time while backward "
               "runs, 0: not before it has ended; results do not depend on it",
       .check = range<std::int64_t>(0, lpw::distributed::longest_chunk),
       .role = Role::program,
       .section = run,
       .idle = without_processes<&O::sum_chunk, O>},
      {.name = "eval-every",
       .member = &O::eval_every,
       .help = "epochs from one scoring of the collapsed network to the next; the last epoch is always scored",
       .check = at_least<std::int64_t>(1),
       .role = Role::program,
       .section = run,
       .idle = without_training<O>},
      {.name = "eval-ensemble",
       .member = &O::eval_ensemble,
       .help = "score the members' ensemble beside the collapsed network, for its columns in metrics.csv: a pass for "
               "each member; --serve ensemble does so anyway",
       .role = Role::program,
       .section = run,
       .idle = without_ensemble_scores<O>},
      {.name = "checkpoint-minutes",
       .member = &O::checkpoint_minutes,
       .help = "minutes between checkpoints within an epoch; each epoch ends with one",
       .check = positive(),
       .role = Role::program,
       .section = run,
       .idle = without_training<O>},
  };
}

}  // namespace detail

/// All options of a trainer, by section, those of its own first.
template <class Options>
[[nodiscard]] const OptionTable<Options>& option_table() {
  static const OptionTable<Options> table = [] {
    OptionTable<Options> rows = Options::own();
    for (auto&& part : {detail::training_options<Options>(), detail::averaging_options<Options>(),
                        detail::late_phase_options<Options>(), detail::coupling_options<Options>(),
                        detail::serving_rows<Options>(), detail::program_options<Options>()})
      rows.insert(rows.end(), part.begin(), part.end());
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.section < b.section; });
    return rows;
  }();
  return table;
}

}  // namespace example
