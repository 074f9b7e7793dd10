// Members over processes: each holds the late-phase weights, optimizer's states and running statistics of its own
// members only, reads their minibatches, and computes their gradients. What the processes tell each other in a step is
// one sum, of the shared weights' gradient.
//
// Shared weights and their states are on every process, and stay the same bits: all step them with the same sum. Where
// there are fewer members than processes, as before release and after collapse, a member's minibatches are cut over
// some of them, its group, and batch norms normalise by the moments of the whole (autograd/cut_batch_norm.hpp). Its
// late-phase weights are on each of these, and their gradient is summed in the group, too.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/chunked_sum.hpp>
#include <lpw/distributed/communicator.hpp>
#include <lpw/distributed/members_options.hpp>
#include <lpw/distributed/tensor_sums.hpp>
#include <lpw/late_phase/spread.hpp>

namespace lpw::inline LPW_ABI::distributed {

namespace detail {

/// Which members a process holds, and where several hold one, which part of its minibatches it has.
struct Holding {
  MemberRange here;
  std::int64_t part = 0, parts = 1;
};
[[nodiscard]] inline Holding holding(std::int64_t members, std::int64_t processes, std::int64_t rank) {
  if (members >= processes) {
    const std::int64_t first = rank * members / processes;
    return {{first, (rank + 1) * members / processes - first}};
  }
  const std::int64_t member = rank * members / processes;
  const auto first_of = [&](std::int64_t k) { return (k * processes + members - 1) / members; };
  return {{member, 1}, rank - first_of(member), first_of(member + 1) - first_of(member)};
}

/// The share of a process, by its communicator.
template <Communicator C, class D>
class Share final : public nn::MemberShare, public SumsBy<C, D> {
 public:
  Share(C& communicator, std::int64_t members, const Holding& holding)
      : nn::MemberShare(members, holding.here, holding.part, holding.parts), SumsBy<C, D>(communicator) {}
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const override {
    this->communicator_->gather(part() == 0 ? own : own.first(0), all);
  }
};

/// The samples of a pass over `count`, where processes have so many before it and together.
[[nodiscard]] inline SamplePart part_of(std::int64_t count, std::int64_t before, std::int64_t together,
                                        const WholeMinibatch& whole) {
  require<OptionError>(whole.steps >= 1 && count % whole.steps == 0, "members: ", count, " samples in ", whole.steps,
                       " steps; expected as many in each");
  const bool all_here = count == whole.samples;
  require(whole.samples == 0 || all_here || together == whole.samples, "members: the processes have ", together,
          " samples of a minibatch of ", whole.samples, "; expected each a part of it, or each all");
  return {count / whole.steps, all_here ? 0 : before / whole.steps, (all_here ? count : together) / whole.steps,
          whole.steps};
}

/// The part of a minibatch that a process has, by the communicator of all that have one.
template <Communicator C, class D>
class Cut final : public MinibatchCut, public SumsBy<C, D> {
 public:
  Cut(C& communicator, double share) : MinibatchCut(share), SumsBy<C, D>(communicator) {}
};

}  // namespace detail

/// What a loop over processes asks for its members. Everything here but range() and of() is for all processes together.
///
///     lpw::distributed::Mpi mpi;
///     lpw::distributed::Members members(mpi);
///     members.release(network, optimizer, {.members = 10});
///     for (auto& [x, y] : loader.epoch(place, members.of(network))) {  // the minibatches of those here
///       lpw::TapeOptions pass = members.pass(network, x);
///       members.overlap(network, pass);  // this backward, the step's last, begins the sum
///       lpw::Tape tape(pass);
///       ...
///       tape.backward(loss);
///       members.sum_gradients(network);
///       optimizer.step();
///     }
///     lpw::collapse(network, optimizer);  // of all members, on every process
template <Communicator C = SingleProcess>
class Members {
 public:
  /// The communicator must outlive this and the networks that are released by it. Throws OptionError for a negative
  /// chunk, or one of more than 2^28.
  explicit Members(C& communicator, const MembersOptions& options = {})
      : communicator_(&communicator), options_(options), part_(1 / static_cast<double>(communicator.size())) {
    require_possible_chunk("members: chunk", options.chunk);
  }

  /// Those of K members that this process holds: as many as others do, or one more; of fewer members than processes
  /// one, which others hold as well. Throws OptionError for fewer where the communicator is no SplittingCommunicator.
  [[nodiscard]] MemberRange range(std::int64_t members) const {
    const std::int64_t processes = communicator_->size();
    require<OptionError>(members >= processes || SplittingCommunicator<C>, "members: ", members, " over ", processes,
                         " processes; expected at least one for each where they cannot be split into groups, so start "
                         "fewer processes");
    return detail::holding(members, processes, communicator_->rank()).here;
  }

  /// What a loader reads for a network here: minibatches of the members that this process holds, or a part of those of
  /// one that it shares with others.
  template <nn::Visitable M>
  [[nodiscard]] data::ReadMembers of(M& network) const {
    const auto share = nn::member_share(network);
    if (!share && nn::members(network) == 1)
      return data::ReadMembers::part_of_one(communicator_->rank(), communicator_->size());
    if (!share) return nn::members(network);
    data::ReadMembers read(share->members(), share->here().first, share->here().count);
    read.part = share->part(), read.parts = share->parts();
    return read;
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto of(M&, auto&&...) const {
    return nn::detail::not_a_module<M>();
  }

  /// What the tape of a pass over the minibatches that were read by of(), [members here, B, ...], is to know: whose
  /// random numbers members drop out by, and of one member's minibatch, which part it is. Add what else it needs
  /// (`random`). For chunks of members, call it once a step. Throws Error for another part of a minibatch than that of
  /// the step's passes before: gradients that add up are weighed as one. (Not on a GPU, where a step that is replayed
  /// sums them without being asked here.) Throws Error where the processes do not have `whole.samples` together, nor
  /// each all of them.
  template <nn::Visitable M, class T, class D>
  [[nodiscard]] TapeOptions pass(M& network, const Tensor<T, D>& inputs, const WholeMinibatch& whole = {}) {
    const bool is_cut = cut(network);
    require<ShapeError>(!is_cut || (inputs.shape().rank() >= 2 && inputs.dim(0) == 1), "members: inputs ",
                        inputs.shape(), " for a network of one member; expected [1 B ...]");
    return pass_of(network, is_cut ? inputs.dim(1) : 0, whole);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto pass(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }
  /// The same of so many samples of one member's minibatch here; of several members, it is the same for any.
  template <nn::Visitable M>
  [[nodiscard]] TapeOptions pass_of(M& network, std::int64_t count, const WholeMinibatch& whole = {}) {
    TapeOptions options = statistics_pass(network, count, whole);
    part_ = options.cut ? options.cut->share() : 1;
    if (options.cut) remember_part(nn::flatten(network));
    return options;
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto pass_of(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// The same of a pass without a gradient, as optim::recompute_statistics makes them.
  template <nn::Visitable M>
  [[nodiscard]] TapeOptions statistics_pass(M& network, std::int64_t count, const WholeMinibatch& whole = {}) const {
    TapeOptions options;
    const auto share = nn::member_share(network);
    if (share) options.first_member = share->here().first;
    if (!cut(network)) return options;
    C& processes = share ? group(*share) : *communicator_;
    std::vector<double> counts(to_size(processes.size()));  // whole numbers to 2^53 are exact
    counts[to_size(processes.rank())] = static_cast<double>(count);
    processes.sum(std::span(counts));
    const double before = std::accumulate(counts.begin(), counts.begin() + processes.rank(), 0.0),
                 together = std::accumulate(counts.begin(), counts.end(), 0.0);
    options.part =
        detail::part_of(count, static_cast<std::int64_t>(before), static_cast<std::int64_t>(together), whole);
    options.cut =
        std::make_shared<detail::Cut<C, typename M::device_type>>(processes, static_cast<double>(count) / together);
    return options;
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto statistics_pass(M&, auto&&...) const {
    return nn::detail::not_a_module<M>();
  }

  /// Of the minibatch of the one member here, in the last pass, the part that this process had: B_r / B. 1 where
  /// members' minibatches are whole.
  [[nodiscard]] double part() const { return part_; }

  /// lpw::release, after which each process holds its own members. It makes all of them first: with the same noise, and
  /// other starts, as in one process. Throws as lpw::release, and OptionError as range(); the network is untouched
  /// then.
  template <nn::Visitable M, class Follower>
  void release(M& network, Follower&& follower, const ReleaseOptions& options) {
    (void)range(options.members);
    lpw::release(network, follower, options);
    spread(network, follower);
  }
  /// The same, with members that start anew.
  template <nn::Visitable M, class Follower>
  void release(M& network, Follower&& follower, const ReleaseOptions& options,
               const std::type_identity_t<MemberSource<M>>& source) {
    (void)range(options.members);
    lpw::release(network, follower, options, source);
    spread(network, follower);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto release(M&, auto&&, const ReleaseOptions&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Leaves each process its own members of a network that all have whole: after release elsewhere, or io::load_state.
  /// Weights and statistics are process 0's, the states of what follows each process' own. Throws Error, on all of
  /// them, where they do not hold networks of one form, OptionError as range().
  template <nn::Visitable M, class Follower>
  void spread(M& network, Follower&& follower) {
    const auto flat = nn::flatten(network);
    nn::require_all_members(flat->share, "members");
    (void)range(flat->members);
    if (communicator_->size() == 1) return;
    require_alike(*flat);
    take_from_first(flat->value.base), take_from_first(flat->value.late), take_from_first(flat->buffers);
    if (flat->members == 1) return;
    const auto holding = detail::holding(flat->members, communicator_->size(), communicator_->rank());
    make_group(flat->members, holding);
    using D = typename M::device_type;
    spread_members(network, follower, std::make_shared<detail::Share<C, D>>(*communicator_, flat->members, holding));
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto spread(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Makes the network, and what follows it, on every process what they are in one: to save a state, or for what needs
  /// all members. spread() goes on from there.
  template <nn::Visitable M, class Follower>
  void gather(M& network, Follower&& follower) {
    gather_members(network, follower);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto gather(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Lets the sum of the shared weights' gradient begin while backward runs, in chunks, by communicators that can on
  /// the network's device: for the last backward pass of a step, of the last chunk of members. `pass` is its options,
  /// as pass() or pass_of() made them in this step; sum_gradients() finishes the sum, on a GPU within the same replayed
  /// work. Throws Error where that was not called after the last backward pass of this network that it was to sum: on
  /// a step that was left out, say; and at the first call where processes have other chunks.
  template <nn::Visitable M>
  void overlap(M& network, TapeOptions& pass) {
    using D = typename M::device_type;
    if constexpr (detail::SumsMeanwhile<C, D>) {
      if (communicator_->size() == 1 || !detail::sums_meanwhile<D>(*communicator_)) return;
      require_same_chunk();
      if (options_.chunk == 0) return;
      const auto flat = nn::flatten(network);
      if (flat->gradient.base.size() == 0) return;
      require_part(flat);
      const auto unfinished = started_of(flat->gradient.base);
      require(unfinished == started_.end() || !(*unfinished)->running(),
              "members: the network's gradients are still being summed since its last backward pass; call "
              "sum_gradients() after each that overlap() lets begin it, whatever becomes of the step");
      if (unfinished != started_.end()) started_.erase(unfinished);  // whose backward pass did not come
      using Sum = detail::ChunkedSum<nn::WeightOf<M>, D, C>;
      started_.push_back(std::make_shared<Sum>(*communicator_, flat, options_.chunk, weight(flat)));
      pass.watch = started_.back();
    }
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto overlap(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Between the backward pass, of all chunks of members, and what reads the gradient (the optimizer's step): makes the
  /// shared weights' gradient that of all members. One sum over one buffer, by way of the host but for communicators
  /// that sum on the device; or the rest of one that overlap() let begin. Throws Error for one member's parts that no
  /// pass() was asked for.
  template <nn::Visitable M>
  void sum_gradients(M& network) {
    if (communicator_->size() == 1) return;
    const auto flat = nn::flatten(network);
    require_part(flat);
    if (const auto started = started_of(flat->gradient.base); started != started_.end()) {
      (*started)->finish();
      started_.erase(started);
    } else {
      sum_weighed(*communicator_, flat->gradient.base, weight(flat));
    }
    sum_parts(flat->gradient.late, flat);
    for (auto& known : parts_)
      if (known.store.lock() == flat) known.of_gradients = false;
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto sum_gradients(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Makes one member's running statistics, where parts of its minibatches were normalised each by its own moments, the
  /// mean of the parts', as sum_gradients does gradients. Otherwise does nothing.
  template <nn::Visitable M>
  void average_statistics(M& network) {
    const auto flat = nn::flatten(network);
    if (cut(network)) sum_parts(flat->buffers, flat);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto average_statistics(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// The mean over all members of what there is for each here, [members], such as losses; of one member's parts, the
  /// whole's.
  template <nn::Visitable M, class T, class D>
  [[nodiscard]] double mean(M& network, const Tensor<T, D>& values) {
    const auto host = to_host(values);
    double sum = 0;
    for (std::int64_t k = 0; k < host.size(); ++k) sum += static_cast<double>(host.data()[k]);
    const auto flat = nn::flatten(network);
    sum *= weight(flat);
    communicator_->sum(std::span(&sum, 1));
    return sum / static_cast<double>(flat->share ? flat->share->members() : host.size());
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto mean(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// All processes' samples, of as many here: an iteration's, for train::LoopProgress, which knows of one process.
  [[nodiscard]] std::int64_t together(std::int64_t here) const {
    double all = static_cast<double>(here);  // whole numbers to 2^53 are exact
    communicator_->sum(std::span(&all, 1));
    return static_cast<std::int64_t>(all);
  }

 private:
  /// What was here of the minibatch of a network's last pass, and whether gradients of it may not be summed yet.
  struct Part {
    std::weak_ptr<const void> store;
    double part;
    bool of_gradients;
  };

  /// Whether one member's minibatches are cut over processes, of which this is one.
  template <nn::Visitable M>
  [[nodiscard]] bool cut(M& network) const {
    return cut(nn::member_share(network), nn::members(network));
  }
  [[nodiscard]] bool cut(const std::shared_ptr<const nn::MemberShare>& share, std::int64_t members) const {
    return share ? share->parts() > 1 : communicator_->size() > 1 && members == 1;
  }
  /// The sum of this gradient that overlap() let begin, if there is one.
  template <class W, class D>
  [[nodiscard]] auto started_of(const Tensor<W, D>& gradient) {
    return std::find_if(started_.begin(), started_.end(), [&](const auto& sum) { return sum->of(gradient.data()); });
  }
  /// By which a process' gradients count in the sum over all: the part of the network's last pass, or where it had none
  /// since it has these stores, as if parts were alike.
  template <class W, class D>
  [[nodiscard]] double weight(const std::shared_ptr<nn::FlatWeights<W, D>>& flat) const {
    const double parts = static_cast<double>(flat->share ? flat->share->parts() : communicator_->size());
    if (parts == 1) return 1;
    const auto* const known = part_of(flat);
    return known ? known->part : 1 / parts;
  }
  [[nodiscard]] const Part* part_of(const std::shared_ptr<const void>& store) const {
    const auto found =
        std::find_if(parts_.begin(), parts_.end(), [&](const Part& known) { return known.store.lock() == store; });
    return found == parts_.end() ? nullptr : &*found;
  }
  template <class W, class D>
  void remember_part(const std::shared_ptr<nn::FlatWeights<W, D>>& store) {
    const auto* const known = part_of(store);
    require(
        !std::is_same_v<D, Cpu> || known == nullptr || !known->of_gradients || known->part == part_,
        "members: a pass over ", part_, " of a minibatch after one over ", known ? known->part : 0,
        " of its minibatch, and no sum_gradients() between: gradients that add up are weighed as one, so that parts "
        "must be alike; take minibatches of one size, and Tape::evaluation() for a pass without a gradient");
    std::erase_if(parts_, [&](const Part& other) { return other.store.expired() || other.store.lock() == store; });
    parts_.push_back({store, part_, true});
  }
  template <class W, class D>
  void require_part(const std::shared_ptr<nn::FlatWeights<W, D>>& flat) const {
    require(!cut(flat->share, flat->members) || part_of(flat),
            "members: gradients of parts of one member's minibatch, of sizes that are not "
            "known; ask pass() or pass_of() for the options of the tape before each backward pass");
  }
  template <class W, class D>
  static void sum_weighed(C& processes, Tensor<W, D>& tensor, double weight) {
    detail::weigh(tensor, weight);
    detail::sum_tensor(processes, tensor);
  }
  /// Of parts of one member's minibatch, what belongs to it: summed over those that have these.
  template <class W, class D>
  void sum_parts(Tensor<W, D>& tensor, const std::shared_ptr<nn::FlatWeights<W, D>>& flat) {
    if (flat->share && flat->share->parts() == 1) return;
    sum_weighed(flat->share ? group(*flat->share) : *communicator_, tensor, weight(flat));
  }

  /// Those that hold the same member, where there are fewer members than processes. All split together, once.
  void make_group(std::int64_t members, const detail::Holding& holding) {
    if (members >= communicator_->size() || (group_ && grouped_ == members)) return;
    if constexpr (SplittingCommunicator<C>) group_ = communicator_->split(static_cast<int>(holding.here.first));
    grouped_ = members;
  }
  [[nodiscard]] C& group(const nn::MemberShare& share) const {
    require(group_ && grouped_ == share.members(), "members: the network's ", share.members(),
            " members were spread by another Members than this");
    return *group_;
  }

  template <class W, class D>
  void take_from_first(const Tensor<W, D>& tensor) {
    detail::on_host(tensor, [&](auto values) { communicator_->broadcast(std::as_writable_bytes(values), 0); });
  }

  /// What every process has of this.
  template <class V>
  [[nodiscard]] std::vector<V> of_all(const V& own) const {
    std::vector<V> all(to_size(communicator_->size()));
    communicator_->gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
    return all;
  }

  template <class W, class D>
  void require_alike(const nn::FlatWeights<W, D>& flat) {
    using Form = std::array<std::int64_t, 4>;
    const Form own{flat.members, flat.value.base.size(), flat.value.late.size(), flat.buffers.size()};
    const auto all = of_all(own);
    for (std::size_t process = 1; process < all.size(); ++process)
      require(all[process] == all[0], "members: process 0 has ", all[0][0], " members (", all[0][1],
              " shared weights, ", all[0][2], " late-phase weights, ", all[0][3], " running statistics), process ",
              process, " has ", all[process][0], " (", all[process][1], ", ", all[process][2], ", ", all[process][3],
              "); all processes must make and release the same network");
  }

  /// At the first call.
  void require_same_chunk() {
    if (std::exchange(same_chunk_, true)) return;
    const auto all = of_all(options_.chunk);
    for (std::size_t process = 1; process < all.size(); ++process)
      require(all[process] == all[0], "members: chunk is ", all[0], " in process 0 and ", all[process], " in process ",
              process, "; all processes must sum alike");
  }

  C* communicator_;
  MembersOptions options_;
  bool same_chunk_ = false;  // on all processes
  double part_;              // of one member's minibatch, what was here in the last pass: B_r / B
  std::vector<Part> parts_;  // the same of networks
  std::shared_ptr<C> group_;
  std::int64_t grouped_ = 0;                                   // members
  std::vector<std::shared_ptr<detail::GradientSum>> started_;  // a network each
};

}  // namespace lpw::inline LPW_ABI::distributed
