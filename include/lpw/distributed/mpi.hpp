// Processes that mpirun started, by MPI (Open MPI or MPICH). Programs link lpw::mpi. Where that found no MPI, this is
// one process, and says so to who starts more.
//
// The sum is not MPI_Allreduce, whose order of addition is MPI's to choose: each process adds up a stripe of what all
// have, in the order of ranks and in double, and gets the others' stripes. That is as much to send as the best
// all-reduce has.
//
// A process that fails ends all: MPI knows no other way out of a call in which others wait.
//
// What Mpi is lies in an inline namespace of its own each way: one program may hold files compiled with and without MPI
// (tensor/abi.hpp).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <lpw/distributed/communicator.hpp>
#include <lpw/distributed/launcher.hpp>
#include <lpw/distributed/mpi_sums.hpp>
#include <lpw/tensor/to_size.hpp>

#if defined(LPW_WITH_MPI) && LPW_WITH_MPI
#include <mpi.h>
#endif

namespace lpw::inline LPW_ABI::distributed {

#if defined(LPW_WITH_MPI) && LPW_WITH_MPI
inline namespace with_mpi {

/// The processes of an MPI communicator. Errors of MPI end the program with MPI's message, as they do by default.
class Mpi {
 public:
  /// All processes. Starts MPI and ends it with this object, unless the program has started it itself. Throws Error
  /// where a launcher started more processes than MPI knows of.
  Mpi() : Mpi(MPI_COMM_WORLD, start()) {
    if (const auto launcher = launched())
      require(launcher->processes == size_, "mpi: ", launcher->variable, " says that ", launcher->processes,
              " processes were started, and MPI knows of ", size_,
              "; start them by the mpirun of the MPI that the program was built with, or by srun with its pmix");
  }
  /// Those of a communicator of a program that starts and ends MPI itself.
  explicit Mpi(MPI_Comm communicator) : Mpi(communicator, false) {}
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  /// An exception's way out of main does not end MPI, which would wait here for processes that wait for this one:
  /// mpirun ends them all, since this one exits without.
  ~Mpi() {
    const bool in_error = std::uncaught_exceptions() != exceptions_;
    if (in_error || (sums_ && sums_->under_way())) (void)sums_.release();  // whose end is one for all together
    if (!in_error && ends_) {
      sums_.reset();
      MPI_Finalize();
    }
  }

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  void sum(std::span<float> values) const { sum_stripes(values, MPI_FLOAT); }
  void sum(std::span<double> values) const { sum_stripes(values, MPI_DOUBLE); }
  /// As OverlappingCommunicator says; the same bits as sum's. Throws OptionError for more than 2^28 numbers at a time.
  void start_sum(std::span<float> values, const Owner& owner = {}) { start(values, owner, MPI_FLOAT); }
  void start_sum(std::span<double> values, const Owner& owner = {}) { start(values, owner, MPI_DOUBLE); }
  void progress() {
    if (sums_) sums_->progress();
  }
  void finish_sums() {
    if (sums_) sums_->finish();
  }
  /// Throws OptionError for a rank that no process has.
  void broadcast(std::span<std::byte> bytes, int from) const {
    require<OptionError>(from >= 0 && from < size_, "broadcast: from process ", from, " of ", size_);
    for (std::size_t first = 0; first < bytes.size(); first += piece) {
      const auto part = bytes.subspan(first, std::min(piece, bytes.size() - first));
      MPI_Bcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, from, communicator_);
    }
  }
  /// Throws ShapeError, on all processes, unless `all` has room for just what they give together.
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    const std::uint64_t size = own.size();
    std::vector<std::uint64_t> sizes(to_size(size_));
    MPI_Allgather(&size, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, communicator_);
    std::uint64_t together = 0;
    for (const std::uint64_t each : sizes) together += each;
    require<ShapeError>(together == all.size(), "gather: the processes have ", together, " bytes together, expected ",
                        all.size());
    std::size_t first = 0;
    for (int from = 0; from < size_; ++from) {
      const auto part = all.subspan(first, static_cast<std::size_t>(sizes[to_size(from)]));
      if (from == rank_) std::copy(own.begin(), own.end(), part.begin());
      broadcast(part, from);
      first += part.size();
    }
  }
  void barrier() const { MPI_Barrier(communicator_); }
  /// Those that give the same number; theirs is MPI's until it ends.
  [[nodiscard]] std::unique_ptr<Mpi> split(int group) const {
    MPI_Comm part = MPI_COMM_NULL;
    MPI_Comm_split(communicator_, group, rank_, &part);
    return std::make_unique<Mpi>(part);
  }

  /// For a process that fails, perhaps together with others, which need not call this: whether it is the one that says
  /// why. That is the first by rank of those that fail within a second.
  [[nodiscard]] bool speaks_for_failure() const {
    for (int above = rank_ + 1; above < size_; ++above) {
      MPI_Request sent;
      MPI_Isend(nullptr, 0, MPI_BYTE, above, failure_tag, communicator_, &sent);
      MPI_Request_free(&sent);
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (rank_ > 0 && std::chrono::steady_clock::now() < until) {
      int below = 0;
      MPI_Iprobe(MPI_ANY_SOURCE, failure_tag, communicator_, &below, MPI_STATUS_IGNORE);
      if (below) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  /// Ends all processes.
  [[noreturn]] void abort(int exit_code) const {
    MPI_Abort(communicator_, exit_code);
    std::_Exit(exit_code);
  }

 private:
  static constexpr int failure_tag = 1;
  static constexpr std::size_t piece = std::size_t{1} << 28;   // bytes: MPI counts in int
  static constexpr std::size_t stripe = std::size_t{1} << 18;  // elements: what is at work lies in the cache

  Mpi(MPI_Comm communicator, bool ends) : communicator_(communicator), ends_(ends) {
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
  }

  /// Whether MPI was started here.
  static bool start() {
    int started = 0;
    MPI_Initialized(&started);
    if (started) return false;
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);  // of all threads only the one that trains calls
    return true;
  }

  template <class W>
  void start(std::span<W> values, const Owner& owner, MPI_Datatype type) {
    if (!sums_) sums_ = std::make_unique<MpiSums>(communicator_);
    sums_->start(values, owner, type);
  }

  template <class W>
  void sum_stripes(std::span<W> values, MPI_Datatype type) const {
    const auto processes = to_size(size_);
    const std::size_t length = std::min(stripe, (values.size() + processes - 1) / processes);
    std::vector<W> whole(processes * length), received(whole.size()), own(length);
    for (std::size_t first = 0; first < values.size(); first += whole.size()) {
      const auto part = values.subspan(first, std::min(whole.size(), values.size() - first));
      std::fill(std::copy(part.begin(), part.end(), whole.begin()), whole.end(), W(0));
      MPI_Alltoall(whole.data(), static_cast<int>(length), type, received.data(), static_cast<int>(length), type,
                   communicator_);
      add_stripes(received.data(), processes, length, own.data());
      MPI_Allgather(own.data(), static_cast<int>(length), type, whole.data(), static_cast<int>(length), type,
                    communicator_);
      std::copy_n(whole.begin(), part.size(), part.begin());
    }
  }

  MPI_Comm communicator_;
  std::unique_ptr<MpiSums> sums_;  // from the first one on
  bool ends_;
  int exceptions_ = std::uncaught_exceptions();
  int rank_ = 0, size_ = 1;
};

}  // namespace with_mpi
#else
inline namespace without_mpi {

/// One process.
class Mpi : public SingleProcess {
 public:
  /// Throws Error where mpirun or srun started several.
  Mpi() {
    const Launched launcher = launched().value_or(Launched());
    require(launcher.processes <= 1, "mpi: this is one of ", launcher.processes,
            " processes, and the program was built without MPI; install it (Debian and Ubuntu: libopenmpi-dev), link "
            "lpw::mpi, and configure anew");
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  /// There is no other.
  [[nodiscard]] bool speaks_for_failure() const { return true; }
  /// Ends it.
  [[noreturn]] void abort(int exit_code) const { std::exit(exit_code); }
};

}  // namespace without_mpi
#endif

static_assert(OverlappingCommunicator<Mpi> && OverlappingCommunicator<SingleProcess>);

}  // namespace lpw::inline LPW_ABI::distributed
