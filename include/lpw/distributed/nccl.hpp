// Sums of what lies on GPUs, by NCCL: each process has a GPU of its own (CUDA_VISIBLE_DEVICES), and another
// communicator, such as Mpi, by which NCCL is started and which does all else.
//
// A sum goes to the stream behind the work before it, waits for nothing, and is captured with a step. NCCL adds in an
// order of its own, and in the numbers' type: the bits are the same on each process, and in every run of the same
// NCCL, algorithm (NCCL_ALGO, NCCL_PROTO) and GPUs.
//
// For programs that link lpw::nccl and are compiled for CUDA; this header is empty elsewhere.
#pragma once

#if defined(LPW_WITH_NCCL) && LPW_WITH_NCCL
#include <nccl.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <utility>

#include <lpw/cuda/base/device.hpp>
#include <lpw/distributed/communicator.hpp>
#include <lpw/distributed/mpi.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// The processes of another communicator, which must outlive it, with a GPU each.
template <Communicator C = Mpi>
class Nccl {
 public:
  /// All processes together. Throws CudaError where NCCL does not start: two processes have the same GPU, say.
  explicit Nccl(C& processes) : processes_(&processes) {
    static_cast<void>(cuda::stream());  // on the device that NCCL is to take
    ncclUniqueId id{};
    if (processes.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    processes.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    check(ncclCommInitRank(&gpus_, processes.size(), id, processes.rank()), "ncclCommInitRank");
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;
  /// With an exception on its way others may wait for this process: NCCL gives up then.
  ~Nccl() {
    const bool fails = std::uncaught_exceptions() != exceptions_;
    static_cast<void>(fails ? ncclCommAbort(gpus_) : ncclCommDestroy(gpus_));
  }

  [[nodiscard]] int rank() const { return processes_->rank(); }
  [[nodiscard]] int size() const { return processes_->size(); }
  void sum(std::span<float> values) { processes_->sum(values); }
  void sum(std::span<double> values) { processes_->sum(values); }
  void broadcast(std::span<std::byte> bytes, int from) { processes_->broadcast(bytes, from); }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) { processes_->gather(own, all); }
  void barrier() { processes_->barrier(); }

  /// Those that give the same number, and their GPUs. All processes together, each of which then talks to its group.
  [[nodiscard]] std::unique_ptr<Nccl> split(int group) const requires SplittingCommunicator<C> {
    return std::unique_ptr<Nccl>(new Nccl(processes_->split(group)));
  }

  [[nodiscard]] bool sums_on_device() const { return true; }
  /// Replaces values on the GPU by their sums over the processes, in the order of the stream. Throws CudaError where
  /// NCCL refuses.
  void sum_on_device(std::span<float> values) { sum_there(values, ncclFloat32); }
  void sum_on_device(std::span<double> values) { sum_there(values, ncclFloat64); }

 private:
  template <class W>
  void sum_there(std::span<W> values, ncclDataType_t type) {
    if (values.empty()) return;
    check(ncclAllReduce(values.data(), values.data(), values.size(), type, ncclSum, gpus_, cuda::stream()),
          "ncclAllReduce");
  }
  static void check(ncclResult_t result, const char* call, const cuda::Place& place = cuda::Place::current()) {
    if (result != ncclSuccess) [[unlikely]]
      cuda::fail_call(call, ncclGetErrorString(result), place);
  }

  explicit Nccl(std::unique_ptr<C> owned) : Nccl(*owned) { owned_ = std::move(owned); }

  std::unique_ptr<C> owned_;  // of a group
  C* processes_;
  ncclComm_t gpus_ = nullptr;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace lpw::inline LPW_ABI::distributed
#endif
