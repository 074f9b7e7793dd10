// Coupling: members whose late-phase weights pull on each other after the optimizer's steps. It is one operation on Φ
// [K, P]; the shared weights, running statistics and, but for Swap, the optimizer's states stay as they are. What a
// member's running statistics belong to moves a little with its weights, as in every step. An optimizer's frozen groups
// are the optimizer's: late-phase weights among them are coupled as the others are.
//
// A coupling is work of its own beside a step that a device replays: whether it is due, how strongly it pulls and the
// step of its random numbers are the host's. All of them are functions of the step, so that the centre is all that a
// checkpoint keeps.
//
// Where several processes hold members, each gathers all for a coupling, couples them, and keeps its own: the bits are
// those of one process with the same weights.
#pragma once

#include <memory>
#include <variant>

#include <lpw/late_phase/coupling_options.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI {

/// Couples the members of a released network.
template <class W, class D>
class Coupling {
  using Flat = nn::FlatWeights<W, D>;

 public:
  /// Throws OptionError for a network of one member, and as require_possible. Of processes that hold members, all make
  /// one and call the same.
  template <nn::Visitable M>
  explicit Coupling(M& network, const CouplingOptions& options = {}) : options_(options), flat_(nn::flatten(network)) {
    require<OptionError>(flat_->all_members() > 1,
                         "coupling: the network has one member; expected at least 2, so release it first");
    require_possible(options, flat_->all_members());
    if (rule<Elastic>()) centre_ = mean_rows(all_rows(flat_->value.late));
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
    requires(!std::is_same_v<M, Coupling>)
  explicit Coupling(M&, const CouplingOptions& = {})
      : Coupling(nn::detail::not_a_module<M>().template as<Coupling>()) {}

  /// Goes on with the same members in other stores: gathered, or spread over processes. Throws Error for others.
  void follow(const std::shared_ptr<Flat>& flat) {
    require(flat->all_members() == flat_->all_members() && flat->value.late.dim(1) == flat_->value.late.dim(1),
            "coupling: the network has other members than those that are coupled");
    flat_ = flat;
  }

  /// As they were given.
  [[nodiscard]] const CouplingOptions& options() const { return options_; }

  /// Whether step number `step`, counted from 1, ends with a coupling.
  [[nodiscard]] bool due(std::int64_t step) const { return step % options_.every == 0; }

  /// Call it after each optimizer step with its number, from 1 on: couples where it is due. `factor` multiplies alpha,
  /// rho or share: what a schedule gives. Throws OptionError where the product cannot be, or for Swap::states, which
  /// need the optimizer; Error if the network has other weights by now.
  void apply(std::int64_t step, double factor = 1) {
    const auto* swap = rule<Swap>();
    require<OptionError>(!swap || !swap->states, "coupling: swap with `states` needs the optimizer: apply(step, it)");
    couple(step, factor);
  }
  /// The same with an optimizer, whose states Swap::states permutes as it does the weights. Throws Error for one of
  /// other weights.
  template <class Optimizer>
    requires requires(Optimizer& optimizer, const Flat& flat) {
      optimizer.follows(flat);
      optimizer.states();
    }
  void apply(std::int64_t step, Optimizer& optimizer, double factor = 1) {
    require(optimizer.follows(*flat_), "coupling: the optimizer was made for another network");
    const double share = couple(step, factor);
    const auto* swap = rule<Swap>();
    if (!swap || !swap->states || share == 0) return;
    for (auto& state : optimizer.states())
      on_all_rows(state.pair.late, [&](auto rows) { swap_members(rows, share, numbers(step)); });
  }

  /// The centre [1, P] of Elastic: what a checkpoint holds; copy to and from it. Throws Error for other rules.
  [[nodiscard]] Tensor<W, D>& centre() {
    require_centre();
    return centre_;
  }

  /// Makes the centre the late-phase weights of every member, so that a collapse gives the network of the shared
  /// weights and the centre, and marks running statistics stale: they belong to the members (see recompute_statistics).
  /// It may be another network of the same form, such as a copy. Throws Error for rules without a centre, and for a
  /// network of other weights.
  template <nn::Visitable M>
  void place_centre(M& network) const {
    require_centre();
    const auto flat = nn::flatten(network);
    require(nn::same_form(*flat, *flat_), "coupling: the network has other weights than those that the centre is of");
    nn::detail::copy_rows(centre_, flat->value.late);
    nn::set_statistics_stale(network, true);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto place_centre(M&) const {
    return nn::detail::not_a_module<M>();
  }

 private:
  [[nodiscard]] Tensor<W, D> all_rows(const Tensor<W, D>& rows) const {
    return flat_->share ? nn::all_rows(*flat_->share, rows) : rows;
  }
  /// Calls f(rows [K, P] of all members), and keeps what becomes of those here.
  template <class F>
  void on_all_rows(Tensor<W, D> rows, F&& f) const {
    const Tensor<W, D> all = all_rows(rows);
    f(all);
    if (flat_->share) copy(all.rows(flat_->share->here().first, flat_->share->here().count), rows);
  }

  template <class Rule>
  [[nodiscard]] const Rule* rule() const {
    return std::get_if<Rule>(&options_.rule);
  }

  [[nodiscard]] Philox numbers(std::int64_t step) const {
    return options_.random.stream(Stream::swap, static_cast<std::uint32_t>(step));
  }

  /// Returns the strength of what it did; 0 for nothing.
  double couple(std::int64_t step, double factor) {
    require(!flat_->retired,
            "coupling: the network has been assigned to, collapsed, released again, or is gone; make a new coupling "
            "for it");
    require<OptionError>(step >= 1, "coupling: step ", step, "; they count from 1");
    const double amount =
        detail::coupling_strength(options_.rule, flat_->all_members(), step / options_.every - 1, factor);
    if (!due(step) || amount == 0) return 0;
    on_all_rows(flat_->value.late, [&](Tensor<W, D> late) {
      if (rule<PullToMean>()) pull_to_mean(late, amount);
      if (rule<Elastic>()) pull_to_centre(late, centre_, amount);
      if (rule<Swap>()) swap_members(late, amount, numbers(step));
    });
    return amount;
  }

  void require_centre() const { require(rule<Elastic>() != nullptr, "coupling: only an elastic one has a centre"); }

  CouplingOptions options_;
  std::shared_ptr<Flat> flat_;
  Tensor<W, D> centre_;
};

template <nn::Visitable M>
Coupling(M&, const CouplingOptions&) -> Coupling<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Coupling(M&) -> Coupling<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
Coupling(M&, const CouplingOptions& = {}) -> Coupling<float, Cpu>;

}  // namespace lpw::inline LPW_ABI
