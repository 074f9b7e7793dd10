// The options that every trainer has, and what they mean for the library. Their rows are in run_option_table.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <lpw/data/member_data.hpp>
#include <lpw/distributed/any_communicator.hpp>
#include <lpw/train/options.hpp>

#include "averaging.hpp"
#include "parameter_groups.hpp"
#include "serving_rows.hpp"

namespace example {

/// The same place from wherever a program is started.
[[nodiscard]] inline std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

struct RunOptions {
  std::int64_t epochs, batch, members = 10, release_epoch, release_step = -1;
  bool release_one = false;
  std::string late;
  double sigma = 0;
  std::string rank1_start = "ones", release_momentum = "carry";
  std::int64_t release_every = 0;
  std::string optimizer = "sgd", base_gradient = "sum";
  double lr, late_lr = -1, coefficient_lr = -1, momentum = 0.9;
  double weight_decay = 0, late_weight_decay = -1, coefficient_weight_decay = -1, clip = 0;
  std::string schedule = "anneal", late_schedule = {}, coefficient_schedule = {};
  std::string groups = {}, freeze = {}, factor_decay = "zero";
  double dropout = 0;
  std::int64_t member_chunk = 0;
  std::string precision = "fp32", init = {};
  std::uint64_t seed = 0;
  int threads = 0;
  std::int64_t sum_chunk = lpw::distributed::MembersOptions().chunk;
  std::string device = "cpu";
  bool deterministic = false;
  std::string out = {};
  bool resume = false, dry_run = false, convert = false;
  std::int64_t eval_every = 1;
  bool eval_ensemble = false;
  double checkpoint_minutes = 10;
  std::string config = {}, eval = {}, exported = {};

  std::string collapse = "affine", serve = "collapsed";
  bool best = false, tensorboard = false;
  std::int64_t line_search = 0, patience = 0;

  nlohmann::json recorded = {};  // by the checkpoint in `eval`: the description of its run
  lpw::distributed::AnyCommunicator* processes = &lpw::distributed::single_process();  // that train together

  std::string average = "none", average_by = {};
  std::int64_t average_start = 0, average_every = 1, snapshots = 0;
  std::string coupling = "none", elastic_served = "centre";
  std::int64_t coupling_every = 10;
  double sam = 0;
  bool sam_adaptive = false;
  std::string sam_weights = "all";
  std::int64_t sam_start = 0;
  std::string member_data = "own", release_start = "copy", statistics = "global";

  /// The initial learning rate and the decay of late-phase weights, and of templates' coefficients.
  [[nodiscard]] double late_rate() const { return late_lr < 0 ? lr : late_lr; }
  [[nodiscard]] double late_decay() const { return late_weight_decay < 0 ? weight_decay : late_weight_decay; }
  [[nodiscard]] double coefficient_rate() const { return coefficient_lr < 0 ? late_rate() : coefficient_lr; }
  [[nodiscard]] double coefficient_decay() const {
    return coefficient_weight_decay < 0 ? late_decay() : coefficient_weight_decay;
  }
  /// Whether `eval` is a saved plain network, and not a checkpoint.
  [[nodiscard]] bool evaluates_model() const { return eval.ends_with(".safetensors"); }
};

/// What --late asks for.
inline lpw::Selectors parse_late(const std::string& text) {
  try {
    return lpw::Selectors::parse(text);
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("--late ", text, ": ", error.what());
  }
}

/// What --rank1-start asks for.
inline lpw::RankOneStart parse_rank_one_start(const std::string& text) {
  try {
    return lpw::RankOneStart::parse(text);
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("--rank1-start ", text, ": ", error.what());
  }
}

/// What --coupling asks of these members.
inline std::optional<lpw::CouplingRule> coupling_of(const RunOptions& o) {
  try {
    auto rule = lpw::parse_coupling(o.coupling);
    if (rule) lpw::require_possible({.rule = *rule, .every = o.coupling_every}, o.members);
    return rule;
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("--coupling ", o.coupling, ": ", error.what());
  }
}

/// What the options say of SAM; its epoch is the trainer's.
inline lpw::optim::SamOptions sam_options(const RunOptions& o) {
  using lpw::optim::Ascending;
  return {.rho = o.sam,
          .adaptive = o.sam_adaptive,
          .weights = o.sam_weights == "late"   ? Ascending::late_phase
                     : o.sam_weights == "base" ? Ascending::base
                                               : Ascending::all};
}

/// What --member-data asks for.
inline lpw::data::MemberData member_data(const RunOptions& o) {
  using lpw::data::MemberData;
  if (o.member_data == "same") return MemberData::same;
  return o.member_data == "whole" ? MemberData::whole : MemberData::own;
}

/// Takes what all optimizers have.
template <class Optimizer>
Optimizer with_shared(const RunOptions& o, Optimizer optimizer) {
  optimizer.learning_rate = o.lr;
  optimizer.weight_decay = o.weight_decay;
  if (o.late_lr >= 0 || o.late_weight_decay >= 0)
    optimizer.late = {.learning_rate = o.late_rate(), .weight_decay = o.late_decay()};
  if (o.coefficient_lr >= 0 || o.coefficient_weight_decay >= 0)
    optimizer.coefficients = {.learning_rate = o.coefficient_rate(), .weight_decay = o.coefficient_decay()};
  optimizer.base_gradient = o.base_gradient == "mean" ? lpw::optim::BaseGradient::mean : lpw::optim::BaseGradient::sum;
  optimizer.clip = o.clip;
  using lpw::optim::FactorDecay;
  optimizer.groups = parameter_groups(o);
  optimizer.factor_decay = o.factor_decay == "one"    ? FactorDecay::to_one
                           : o.factor_decay == "none" ? FactorDecay::none
                                                      : FactorDecay::to_zero;
  return optimizer;
}

inline lpw::optim::OptimizerOptions optimizer_options(const RunOptions& o) {
  if (o.optimizer == "sgd")
    return with_shared(o, lpw::optim::SgdOptions{.momentum = o.momentum, .nesterov = o.momentum > 0});
  return with_shared(o, lpw::optim::AdamOptions{.decoupled = o.optimizer == "adamw"});
}

/// The schedule that an option asks for, which the error names.
inline lpw::optim::Schedule schedule_of(const char* option, const std::string& text, double rate, double epochs) {
  try {
    return lpw::optim::parse_schedule(text, rate, epochs);
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("--", option, ": ", error.what());
  }
}

/// That of templates' coefficients; nothing where it is --late-schedule.
inline std::optional<lpw::optim::Schedule> coefficient_schedule_of(const RunOptions& o, double epochs) {
  if (o.coefficient_schedule.empty()) return std::nullopt;
  return schedule_of("coefficient-schedule", o.coefficient_schedule, o.coefficient_rate(), epochs);
}

/// What --elastic-served and --release-start ask for.
inline lpw::train::ElasticServed elastic_served(const RunOptions& o) {
  using lpw::train::ElasticServed;
  return o.elastic_served == "members" ? ElasticServed::members : ElasticServed::centre;
}
inline lpw::train::ReleaseStart release_start(const RunOptions& o) {
  using lpw::train::ReleaseStart;
  return o.release_start == "redraw" ? ReleaseStart::redraw : ReleaseStart::copy;
}

template <class Options>
lpw::train::TrainOptions train_options(const Options& o) {
  const auto epochs = static_cast<double>(o.epochs);
  return {.epochs = o.epochs,
          .members = o.members,
          .release_epoch = o.release_epoch,
          .release_step = o.release_step,
          .release_one = o.release_one && o.members == 1,
          .late = parse_late(o.late),
          .sigma = o.sigma,
          .rank_one_start = parse_rank_one_start(o.rank1_start),
          .release_momentum = o.release_momentum == "zero" ? lpw::ReleaseMomentum::zero : lpw::ReleaseMomentum::carry,
          .release_every = o.release_every,
          .optimizer = optimizer_options(o),
          .schedule = schedule_of("schedule", o.schedule, o.lr, epochs),
          .late_schedule = o.late_schedule.empty()
                               ? schedule_of("schedule", o.schedule, o.lr, epochs)
                               : schedule_of("late-schedule", o.late_schedule, o.late_rate(), epochs),
          .coefficient_schedule = coefficient_schedule_of(o, epochs),
          .member_chunk = o.member_chunk,
          .seed = o.seed,
          .eval_every = o.eval_every,
          .eval_ensemble = o.eval_ensemble,
          .checkpoint_minutes = o.checkpoint_minutes,
          .average = parse_average(o.average),
          .average_plan = average_plan(o),
          .snapshots = o.snapshots,
          .coupling = coupling_of(o),
          .coupling_every = o.coupling_every,
          .elastic_served = elastic_served(o),
          .sam = sam_options(o),
          .sam_start = o.sam_start,
          .release_start = release_start(o),
          .serving = serving_options(o),
          .statistics =
              o.statistics == "local" ? lpw::train::SharedStatistics::local : lpw::train::SharedStatistics::global,
          .sum_chunk = o.sum_chunk};
}

}  // namespace example
