// Sums over MPI's processes that go on while the one thread that calls MPI computes something else: each is as Mpi's,
// of stripes that are added in the order of ranks and in double, in two calls that MPI does not wait for. MPI works on
// them whenever it is called: progress() calls it.
//
// Each of the two has a communicator of its own: all processes begin sums in one order, but it is chance between which
// two of them the second call of an earlier one comes, and MPI pairs the calls on a communicator by their order.
#pragma once

#if defined(LPW_WITH_MPI) && LPW_WITH_MPI
#include <mpi.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <lpw/distributed/communicator.hpp>
#include <lpw/distributed/members_options.hpp>
#include <lpw/tensor/tensor.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed {
inline namespace with_mpi {

/// Adds up what the processes have of a stripe, `length` numbers each, one after another: in their order, and in
/// double.
template <class W>
void add_stripes(const W* stripes, std::size_t processes, std::size_t length, W* sums) {
  for (std::size_t i = 0; i < length; ++i) {
    double sum = 0;
    for (std::size_t process = 0; process < processes; ++process)
      sum += static_cast<double>(stripes[process * length + i]);
    sums[i] = static_cast<W>(sum);
  }
}

/// A sum under way.
class StartedSum {
 public:
  StartedSum() = default;
  StartedSum(const StartedSum&) = delete;
  StartedSum& operator=(const StartedSum&) = delete;
  virtual ~StartedSum() = default;
  /// Adds up this process' stripe, once it has all of it, and begins to give it to the others.
  virtual void give(MPI_Comm communicator) = 0;

  /// Whether the call under way has ended.
  [[nodiscard]] bool ended() {
    int flag = 0;
    MPI_Test(&request_, &flag, MPI_STATUS_IGNORE);
    return flag != 0;
  }
  void wait() { MPI_Wait(&request_, MPI_STATUS_IGNORE); }

 protected:
  MPI_Request request_ = MPI_REQUEST_NULL;
};

template <class W>
class StartedSumOf final : public StartedSum {
 public:
  StartedSumOf(std::span<W> values, const Owner& owner, MPI_Datatype type, MPI_Comm communicator)
      : values_(values), owner_(owner), type_(type), rank_(rank_in(communicator)), counts_(processes_in(communicator)) {
    const std::size_t processes = counts_.size();
    for (std::size_t process = 0; process < processes; ++process) {
      firsts_.push_back(static_cast<int>(values.size() * process / processes));
      counts_[process] = static_cast<int>(values.size() * (process + 1) / processes) - firsts_.back();
    }
    const int own = counts_[rank_];
    received_counts_.assign(processes, own);
    for (std::size_t process = 0; process < processes; ++process) places_.push_back(static_cast<int>(process) * own);
    received_ = Tensor<W, Cpu>({static_cast<std::int64_t>(processes) * own});
    MPI_Ialltoallv(values_.data(), counts_.data(), firsts_.data(), type_, received_.data(), received_counts_.data(),
                   places_.data(), type_, communicator, &request_);
  }

  void give(MPI_Comm communicator) override {
    add_stripes(received_.data(), counts_.size(), to_size(counts_[rank_]), &values_[0] + firsts_[rank_]);
    received_ = {};  // for the next one
    MPI_Iallgatherv(MPI_IN_PLACE, 0, type_, values_.data(), counts_.data(), firsts_.data(), type_, communicator,
                    &request_);
  }

 private:
  static std::size_t rank_in(MPI_Comm communicator) {
    int rank = 0;
    MPI_Comm_rank(communicator, &rank);
    return to_size(rank);
  }
  static std::size_t processes_in(MPI_Comm communicator) {
    int size = 0;
    MPI_Comm_size(communicator, &size);
    return to_size(size);
  }

  std::span<W> values_;
  Owner owner_;
  MPI_Datatype type_;
  std::size_t rank_;
  std::vector<int> counts_, firsts_;           // of the processes' stripes among the values
  std::vector<int> received_counts_, places_;  // of the others' parts of the own stripe
  Tensor<W, Cpu> received_;                    // in the pool's memory
};

/// The sums that the processes of a communicator have begun and not finished. All call start() for as much, in the same
/// order, and finish() as often.
class MpiSums {
 public:
  /// Makes its communicators of this one: all processes together.
  explicit MpiSums(MPI_Comm communicator) {
    MPI_Comm_dup(communicator, &takes_);
    MPI_Comm_dup(communicator, &gives_);
  }
  MpiSums(const MpiSums&) = delete;
  MpiSums& operator=(const MpiSums&) = delete;
  /// Nothing may be under way. A program that has ended MPI itself has nothing to free.
  ~MpiSums() {
    int over = 0;
    MPI_Finalized(&over);
    if (over) return;
    MPI_Comm_free(&takes_);
    MPI_Comm_free(&gives_);
  }

  /// Throws OptionError for more numbers than longest_chunk, before anything has begun.
  template <class W>
  void start(std::span<W> values, const Owner& owner, MPI_Datatype type) {
    require<OptionError>(values.size() <= to_size(longest_chunk), "start_sum: ", values.size(),
                         " numbers; expected at most 2^28 at a time");
    sums_.push_back(std::make_unique<StartedSumOf<W>>(values, owner, type, takes_));
    progress();
  }
  void progress() {
    while (given_ < sums_.size() && sums_[given_]->ended()) sums_[given_++]->give(gives_);
    while (ended_ < given_ && sums_[ended_]->ended()) ++ended_;
  }
  /// Waits for all.
  void finish() {
    for (; given_ < sums_.size(); sums_[given_++]->give(gives_)) sums_[given_]->wait();
    for (; ended_ < given_; ++ended_) sums_[ended_]->wait();
    sums_.clear();
    given_ = ended_ = 0;
  }
  /// Whether a sum that was begun has not ended.
  [[nodiscard]] bool under_way() const { return ended_ < sums_.size(); }

 private:
  MPI_Comm takes_ = MPI_COMM_NULL, gives_ = MPI_COMM_NULL;
  std::vector<std::unique_ptr<StartedSum>> sums_;  // in the order in which they began
  std::size_t given_ = 0, ended_ = 0;              // of these, the first so many
};

}  // namespace with_mpi
}  // namespace lpw::inline LPW_ABI::distributed
#endif
