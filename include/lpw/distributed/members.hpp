// Members over processes: each holds the late-phase weights, optimizer's states and running statistics of its own
// members only, reads their minibatches, and computes their gradients. What the processes tell each other in a step is
// one sum, of the shared weights' gradient.
//
// Shared weights and their states are on every process, and stay the same bits: all step them with the same sum. While
// there is one member, before release and after collapse, its minibatches are cut over the processes, and batch norms
// normalise by the moments of the whole (autograd/cut_batch_norm.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/distributed/communicator.hpp>
#include <lpw/late_phase/spread.hpp>

namespace lpw::inline LPW_ABI::distributed {

namespace detail {

template <class T>
[[nodiscard]] std::span<T> elements(Tensor<T, Cpu>& tensor) {
  return {tensor.data(), to_size(tensor.size())};
}

/// Calls f(elements) with a contiguous tensor's on the host, and takes over what f makes of them.
template <class T, class D, class F>
void on_host(Tensor<T, D> tensor, F&& f) {
  if (tensor.size() == 0) return;
  auto host = to_host(tensor);  // on the CPU the tensor itself
  f(elements(host));
  if constexpr (!std::is_same_v<D, Cpu>) copy(to_device<D>(host), tensor);
}

/// The share of a process, by its communicator.
template <Communicator C>
class Share final : public nn::MemberShare {
 public:
  Share(C& communicator, std::int64_t members, MemberRange here)
      : nn::MemberShare(members, here), communicator_(&communicator) {}
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const override {
    communicator_->gather(own, all);
  }
  [[nodiscard]] double sum(double own) const override {
    communicator_->sum(std::span(&own, 1));
    return own;
  }

 private:
  C* communicator_;
};

/// The part of a minibatch that a process has, by its communicator.
template <Communicator C>
class Cut final : public MinibatchCut {
 public:
  Cut(C& communicator, double share) : MinibatchCut(share), communicator_(&communicator) {}
  void sum(std::span<double> values) const override { communicator_->sum(values); }

 private:
  C* communicator_;
};

}  // namespace detail

/// What a loop over processes asks for its members. Everything here but range() and of() is for all processes together.
///
///     lpw::distributed::Mpi mpi;
///     lpw::distributed::Members members(mpi);
///     members.release(network, optimizer, {.members = 10});
///     for (auto& [x, y] : loader.epoch(place, members.of(network))) {  // the minibatches of those here
///       lpw::Tape tape(members.pass(network, x));
///       ...
///       tape.backward(loss);
///       members.sum_gradients(network);
///       optimizer.step();
///     }
///     lpw::collapse(network, optimizer);  // of all members, on every process
template <Communicator C = SingleProcess>
class Members {
 public:
  /// The communicator must outlive this and the networks that are released by it.
  explicit Members(C& communicator)
      : communicator_(&communicator), part_(1 / static_cast<double>(communicator.size())) {}

  /// Those of K members that this process holds: as many as others do, or one more. Throws OptionError for fewer
  /// members than processes.
  [[nodiscard]] MemberRange range(std::int64_t members) const {
    const std::int64_t processes = communicator_->size(), rank = communicator_->rank();
    require<OptionError>(members >= processes, "members: ", members, " over ", processes,
                         " processes; expected at least one for each, so start fewer processes");
    const std::int64_t first = rank * members / processes;
    return {first, (rank + 1) * members / processes - first};
  }

  /// What a loader reads for a network here: minibatches of the members that this process holds, of one member a part.
  template <nn::Visitable M>
  [[nodiscard]] data::ReadMembers of(M& network) const {
    const auto share = nn::member_share(network);
    if (!share && nn::members(network) == 1)
      return data::ReadMembers::part_of_one(communicator_->rank(), communicator_->size());
    if (!share) return nn::members(network);
    return {share->members(), share->here().first, share->here().count};
  }

  /// What the tape of a pass over the minibatches that were read by of(), [members here, B, ...], is to know: by which
  /// random numbers members drop out, and of one member's minibatch, that it is a part. Add what else it needs
  /// (`random`). Dropout of parts is not that of one process. For chunks of members, call it once a step.
  template <nn::Visitable M, class T, class D>
  [[nodiscard]] TapeOptions pass(M& network, const Tensor<T, D>& inputs) {
    const bool cut = communicator_->size() > 1 && !nn::member_share(network) && nn::members(network) == 1;
    require<ShapeError>(!cut || (inputs.shape().rank() >= 2 && inputs.dim(0) == 1), "members: inputs ", inputs.shape(),
                        " for a network of one member; expected [1 B ...]");
    return pass_of(network, cut ? inputs.dim(1) : 0);
  }
  /// The same of so many samples of one member's minibatch here; of several members, it is the same for any.
  template <nn::Visitable M>
  [[nodiscard]] TapeOptions pass_of(M& network, std::int64_t count) {
    TapeOptions options;
    const auto share = nn::member_share(network);
    if (share) options.first_member = share->here().first;
    if (share || communicator_->size() == 1 || nn::members(network) > 1) return options;
    const auto samples = static_cast<double>(count);
    double together = samples;
    communicator_->sum(std::span(&together, 1));
    part_ = samples / together;
    options.cut = std::make_shared<detail::Cut<C>>(*communicator_, part_);
    options.first_member = communicator_->rank();  // other samples drop out by other numbers
    return options;
  }

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

  /// Leaves each process its own members of a network that all have whole: after release elsewhere, or io::load_state.
  /// Weights and statistics are process 0's, the states of what follows each process' own. Throws Error, on all of
  /// them, where they do not hold networks of one form, OptionError as range().
  template <nn::Visitable M, class Follower>
  void spread(M& network, Follower&& follower) {
    const auto flat = nn::flatten(network);
    nn::require_all_members(flat->share, "members");
    const MemberRange here = range(flat->members);
    if (communicator_->size() == 1) return;
    require_alike(*flat);
    take_from_first(flat->value.base), take_from_first(flat->value.late), take_from_first(flat->buffers);
    if (flat->members == 1) return;
    spread_members(network, follower, std::make_shared<detail::Share<C>>(*communicator_, flat->members, here));
  }

  /// Makes the network, and what follows it, on every process what they are in one: to save a state, or for what needs
  /// all members. spread() goes on from there.
  template <nn::Visitable M, class Follower>
  void gather(M& network, Follower&& follower) {
    gather_members(network, follower);
  }

  /// Between the backward pass, of all chunks of members, and what reads the gradient (the optimizer's step): makes the
  /// shared weights' gradient that of all members. One sum over one buffer, by way of the host.
  template <nn::Visitable M>
  void sum_gradients(M& network) {
    if (communicator_->size() == 1) return;
    const auto flat = nn::flatten(network);
    if (flat->share) return detail::on_host(flat->gradient.base, [&](auto values) { communicator_->sum(values); });
    detail::on_host(flat->gradient.base, [&](auto values) { sum_parts(values); });
    detail::on_host(flat->gradient.late, [&](auto values) { sum_parts(values); });
  }

  /// Makes one member's running statistics, where parts of its minibatches were normalised each by its own moments, the
  /// mean of the parts', as sum_gradients does gradients. Otherwise does nothing.
  template <nn::Visitable M>
  void average_statistics(M& network) {
    const auto flat = nn::flatten(network);
    if (communicator_->size() == 1 || flat->share || flat->members > 1) return;
    detail::on_host(flat->buffers, [&](auto values) { sum_parts(values); });
  }

  /// The mean over all members of what there is for each here, [members], such as losses; of one member's parts, the
  /// whole's.
  template <nn::Visitable M, class T, class D>
  [[nodiscard]] double mean(M& network, const Tensor<T, D>& values) {
    const auto host = to_host(values);
    double sum = 0;
    for (std::int64_t k = 0; k < host.size(); ++k) sum += static_cast<double>(host.data()[k]);
    const auto share = nn::member_share(network);
    if (share) return share->sum(sum) / static_cast<double>(share->members());
    sum *= part_ / static_cast<double>(host.size());
    communicator_->sum(std::span(&sum, 1));
    return sum;
  }

  /// All processes' samples, of as many here: an iteration's, for train::LoopProgress, which knows of one process.
  [[nodiscard]] std::int64_t together(std::int64_t here) const {
    double all = static_cast<double>(here);  // whole numbers to 2^53 are exact
    communicator_->sum(std::span(&all, 1));
    return static_cast<std::int64_t>(all);
  }

 private:
  template <class W>
  void sum_parts(std::span<W> values) {
    for (W& value : values) value *= static_cast<W>(part_);
    communicator_->sum(values);
  }

  template <class W, class D>
  void take_from_first(const Tensor<W, D>& tensor) {
    detail::on_host(tensor, [&](auto values) { communicator_->broadcast(std::as_writable_bytes(values), 0); });
  }

  template <class W, class D>
  void require_alike(const nn::FlatWeights<W, D>& flat) {
    using Form = std::array<std::int64_t, 4>;
    const Form own{flat.members, flat.value.base.size(), flat.value.late.size(), flat.buffers.size()};
    std::vector<Form> all(to_size(communicator_->size()));
    communicator_->gather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
    for (std::size_t process = 1; process < all.size(); ++process)
      require(all[process] == all[0], "members: process 0 has ", all[0][0], " members (", all[0][1],
              " shared weights, ", all[0][2], " late-phase weights, ", all[0][3], " running statistics), process ",
              process, " has ", all[process][0], " (", all[process][1], ", ", all[process][2], ", ", all[process][3],
              "); all processes must make and release the same network");
  }

  C* communicator_;
  double part_;  // of one member's minibatch, what is here: B_r / B
};

}  // namespace lpw::inline LPW_ABI::distributed
