// What processes that train together do with each other, and the one process that has nobody to do it with.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// R processes, each of which makes the same calls in the same order, for as much data; but for gather, to which each
/// may give as much as it has:
///   rank(), size()            this process' number, from 0 on, and R
///   sum(values)               of all processes, in place, on each; the same bits on each and, for an R, in every run
///   broadcast(bytes, from)    what process `from` has, in place
///   gather(own, all)          what all have, one after another in the order of their ranks, on each
///   barrier()                 returns when all have come here
template <class C>
concept Communicator = requires(C& c, std::span<float> floats, std::span<double> doubles,
                                std::span<const std::byte> own, std::span<std::byte> bytes) {
  { c.rank() } -> std::same_as<int>;
  { c.size() } -> std::same_as<int>;
  c.sum(floats);
  c.sum(doubles);
  c.broadcast(bytes, 0);
  c.gather(own, bytes);
  c.barrier();
};

/// Keeps the memory of what is under way.
using Owner = std::shared_ptr<const void>;

/// One that sums while the process computes something else:
///   start_sum(values, owner)  as sum; the values are not to be touched, and are no sums, before
///   finish_sums()             which waits for all that have started. Until then it keeps their memory's owner: an
///                             error may end a network whose sums are under way
///   progress()                does what can be done without waiting; to be called now and then
template <class C>
concept OverlappingCommunicator = Communicator<C> &&
    requires(C& c, std::span<float> floats, std::span<double> doubles, const Owner& owner) {
  c.start_sum(floats, owner);
  c.start_sum(doubles, owner);
  c.progress();
  c.finish_sums();
};

/// One whose processes fall into groups: split(group) is one of those that gave the same number, in the order of their
/// ranks. All call it together.
template <class C>
concept SplittingCommunicator = Communicator<C> && requires(C& c) {
  { c.split(0) } -> std::convertible_to<std::unique_ptr<C>>;
};

/// One that sums what lies on the process' device where it lies. The host waits for none of it; "before" and "behind"
/// are of the device's work:
///   sums_on_device()          whether it does
///   sum_on_device(values)     as sum; of values in the device's memory, in the order of its work
///   start_sum_on_device(values, owner)    the same behind the work before it, and beside what follows, which is not to
///                             touch the values before
///   finish_sums_on_device()   behind which are all that have started, whose memory's owners it keeps until then
template <class C>
concept DeviceCommunicator = Communicator<C> &&
    requires(C& c, const C& fixed, std::span<float> floats, std::span<double> doubles, const Owner& owner) {
  { fixed.sums_on_device() } -> std::same_as<bool>;
  c.sum_on_device(floats);
  c.sum_on_device(doubles);
  c.start_sum_on_device(floats, owner);
  c.start_sum_on_device(doubles, owner);
  c.finish_sums_on_device();
};

/// One process, for which all of it is done.
class SingleProcess {
 public:
  /// The only one.
  [[nodiscard]] int rank() const { return 0; }
  /// How many there are.
  [[nodiscard]] int size() const { return 1; }
  /// What it has is the sum.
  void sum(std::span<float>) const {}
  void sum(std::span<double>) const {}
  /// What it has is the sum.
  void start_sum(std::span<float>, const Owner&) const {}
  void start_sum(std::span<double>, const Owner&) const {}
  /// Nothing is under way.
  void progress() const {}
  /// Nothing is under way.
  void finish_sums() const {}
  /// It has what it has.
  void broadcast(std::span<std::byte>, int) const {}
  /// Throws ShapeError unless `all` is as long as `own`.
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    require<ShapeError>(own.size() == all.size(), "gather: the one process has ", own.size(), " bytes, expected ",
                        all.size());
    std::copy(own.begin(), own.end(), all.begin());
  }
  /// Returns at once.
  void barrier() const {}
};

}  // namespace lpw::inline LPW_ABI::distributed
