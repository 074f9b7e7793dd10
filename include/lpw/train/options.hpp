// What a training run is, whatever the task.
#pragma once

#include <optional>

#include <lpw/distributed/members_options.hpp>
#include <lpw/late_phase/coupling_options.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sam.hpp>
#include <lpw/optim/schedule.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/train/averaging_options.hpp>
#include <lpw/train/serving_options.hpp>
#include <lpw/train/validate_coupling.hpp>

namespace lpw::inline LPW_ABI::train {

/// What the members' late-phase weights start from: the network's, or each from initial weights of its own.
enum class ReleaseStart { copy, redraw };
/// What a run with Elastic ends with: the centre, or the members, collapsed as without it.
enum class ElasticServed { centre, members };

/// By whose moments batch norms normalise a minibatch that several processes share, before release: those of all of it,
/// or each part by its own.
enum class SharedStatistics { global, local };

/// All that a training run is, beside its task and its network: how long, when what is released, and what becomes of
/// the members.
struct TrainOptions {
  std::int64_t epochs = 200;         // passes over the training data
  std::int64_t members = 10;         // K; 1: nothing is released, but with `release_one`
  std::int64_t release_epoch = 120;  // T0: epochs trained before release; at or past `epochs` nothing is released
  std::int64_t release_step =
      -1;  // the same in iterations, of which the epoch under way then ends; negative: release_epoch counts
  bool release_one = false;  // with one member: it is released, the control of weights of another parametrisation
  Selectors late = Group::batch_norm | Group::head;           // late-phase weights
  double sigma = 0;                                           // release noise
  RankOneStart rank_one_start = {};                           // of the factors that release attaches
  ReleaseMomentum release_momentum = ReleaseMomentum::carry;  // what becomes of the optimizer's momenta at release
  std::int64_t release_every = 0;  // epochs from a release to the next, before which members collapse; 0: one release
  optim::OptimizerOptions optimizer = optim::SgdOptions();                          // which, and its rates
  optim::Schedule schedule = optim::Constant{}, late_schedule = optim::Constant{};  // of base and of late-phase weights
  std::optional<optim::Schedule> coefficient_schedule = {};  // of templates' coefficients; none: late_schedule
  std::int64_t member_chunk = 0;                             // members computed at a time; 0: all
  std::uint64_t seed = 0;                                    // of all that is random
  std::int64_t eval_every =
      1;  // epochs from one scoring of the collapsed network to the next; the last epoch is always scored
  bool eval_ensemble = false;      // the members' ensemble is scored beside it, as where that is what is served
  double checkpoint_minutes = 10;  // between checkpoints within an epoch; each epoch ends with one anyway

  // Over time.
  std::optional<optim::AverageOptions> average = {};  // of the weights, served in their place; none: none
  optim::AveragePlan average_plan = {};               // when it is updated
  std::int64_t snapshots = 0;  // of the network at the ends of the cycles of `schedule`, the last so many; 0: none
  std::optional<CouplingRule> coupling = {};  // of members, in steps from their release on; none: no coupling
  std::int64_t coupling_every = 10;           // steps
  ElasticServed elastic_served = ElasticServed::centre;          // what an elastic coupling ends with
  optim::SamOptions sam{.rho = 0};                               // around the optimizer
  std::int64_t sam_start = 0;                                    // epochs before sam
  ReleaseStart release_start = ReleaseStart::copy;               // how late-phase weights start
  ServingOptions serving = {};                                   // what becomes of the members at the end
  SharedStatistics statistics = SharedStatistics::global;        // whose moments processes normalise by
  std::int64_t sum_chunk = distributed::MembersOptions().chunk;  // numbers that processes sum while backward runs

  /// Whether templates' coefficients are a group of their own.
  [[nodiscard]] bool groups_coefficients() const {
    return coefficient_schedule || std::visit([](const auto& o) { return o.coefficients.has_value(); }, optimizer);
  }
  /// The optimizer's, with rates of the coefficients' own where they have a schedule of their own.
  [[nodiscard]] optim::OptimizerOptions grouped_optimizer() const {
    auto result = optimizer;
    std::visit(
        [&](auto& o) {
          if (!coefficient_schedule || o.coefficients) return;
          o.coefficients = o.late.value_or(optim::Rates{o.learning_rate, o.weight_decay});
        },
        result);
    return result;
  }
  /// Whether a network trained with these options is ever released, if training lasts long enough.
  [[nodiscard]] bool releases() const {
    return (members > 1 || release_one) && !late.empty() && (release_step >= 0 || release_epoch < epochs);
  }
  /// Whether the network is scored after so many epochs.
  [[nodiscard]] bool scores_after(std::int64_t epoch) const { return epoch % eval_every == 0 || epoch == epochs; }
  /// Whether the members' ensemble is scored beside it.
  [[nodiscard]] bool scores_ensemble() const { return eval_ensemble || serving.served == Served::ensemble; }
  /// Whether a network is due for release after so many epochs and iterations.
  [[nodiscard]] bool due(std::int64_t epoch, std::int64_t step) const {
    return releases() && (release_step >= 0 ? step >= release_step : epoch >= release_epoch);
  }
  /// Whether members that were released `since` epochs ago are due to be collapsed and released again.
  [[nodiscard]] bool due_again(std::int64_t since) const {
    return release_every > 0 && since > 0 && since % release_every == 0;
  }
};

namespace detail {

/// Epochs that members are trained for.
template <class Task>
[[nodiscard]] std::int64_t member_epochs(const TrainOptions& o, const Task& task) {
  const std::int64_t iterations = task.iterations(1);
  return o.epochs - (o.release_step >= 0 ? (o.release_step + iterations - 1) / iterations : o.release_epoch);
}

}  // namespace detail

/// Throws OptionError for what cannot work.
inline void validate(const TrainOptions& o) {
  const auto at_least = [](const char* name, auto value, auto low) {
    require<OptionError>(is_finite(static_cast<double>(value)) && value >= low, '`', name, "` ", value,
                         "; expected at least ", low);
  };
  at_least("epochs", o.epochs, 1);
  at_least("members", o.members, 1);
  require<OptionError>(!o.release_one || o.members == 1, "`release_one`: ", o.members,
                       " members are released in any case; leave it out, or set `members` to 1");
  at_least("release_epoch", o.release_epoch, 0);
  at_least("sigma", o.sigma, 0);
  at_least("release_every", o.release_every, 0);
  at_least("eval_every", o.eval_every, 1);
  std::visit(
      [&](const auto& optimizer) {
        at_least("learning_rate", optimizer.learning_rate, 0);
        at_least("weight_decay", optimizer.weight_decay, 0);
        at_least("clip", optimizer.clip, 0);
        if constexpr (requires { optimizer.momentum; }) at_least("momentum", optimizer.momentum, 0);
        if (optimizer.late) {
          at_least("late.learning_rate", optimizer.late->learning_rate, 0);
          at_least("late.weight_decay", optimizer.late->weight_decay, 0);
        }
        if (optimizer.coefficients) {
          at_least("coefficients.learning_rate", optimizer.coefficients->learning_rate, 0);
          at_least("coefficients.weight_decay", optimizer.coefficients->weight_decay, 0);
        }
      },
      o.optimizer);
  require<OptionError>(o.member_chunk >= 0 && o.member_chunk <= o.members, "`member_chunk` ", o.member_chunk,
                       "; expected from 0 to the ", o.members, " members");
  distributed::require_possible_chunk("`sum_chunk`", o.sum_chunk);
  at_least("checkpoint_minutes", o.checkpoint_minutes, 0);
  validate_average(o.average, o.average_plan, o.epochs);
  validate_snapshots(o.snapshots, o.schedule, o.epochs);
  validate_coupling(o);
  validate(o.serving, o.releases() ? o.members : 1, o.snapshots);
}

}  // namespace lpw::inline LPW_ABI::train
