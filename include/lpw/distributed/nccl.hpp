// Sums of what lies on GPUs, by NCCL: each process has a GPU of its own (CUDA_VISIBLE_DEVICES), and another
// communicator, such as Mpi, by which NCCL is started and which does all else.
//
// Sums have a stream of their own: each waits there, by an event, for the work that was issued before it, and by
// another event later work waits for them, so that chunks of the gradient are summed while backward runs. The host
// waits for nothing, and all of it is captured with a step. Batch norms' sums are there, too, and those of groups: NCCL
// wants them one after another.
//
// NCCL adds in an order of its own, and in the numbers' type: the bits are the same on each process, and in every run
// of the same NCCL, algorithm (NCCL_ALGO, NCCL_PROTO) and GPUs.
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
#include <vector>

#include <lpw/cuda/base/device.hpp>
#include <lpw/cuda/base/pinned.hpp>
#include <lpw/distributed/communicator.hpp>
#include <lpw/distributed/mpi.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// The processes of another communicator, which must outlive it, with a GPU each.
template <Communicator C = Mpi>
class Nccl {
 public:
  /// All processes together. Throws CudaError where NCCL does not start: two processes have the same GPU, say.
  explicit Nccl(C& processes) : processes_(&processes) {
    ncclUniqueId id{};
    if (processes.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    processes.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    check(ncclCommInitRank(&gpus_, processes.size(), id, processes.rank()), "ncclCommInitRank");
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;
  /// With an exception on its way, or sums that were not finished, others may wait for this process: NCCL gives up
  /// then.
  ~Nccl() {
    const bool fails = std::uncaught_exceptions() != exceptions_ || !owners_.empty();
    static_cast<void>(fails ? ncclCommAbort(gpus_) : ncclCommDestroy(gpus_));
    if (!owners_.empty()) cuda::disregard(cudaStreamSynchronize(sums_));  // others get the memory
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
  /// As DeviceCommunicator says, by the order of cuda::stream(). Throw CudaError where NCCL refuses.
  void sum_on_device(std::span<float> values) { start_sum_on_device(values, {}), finish_sums_on_device(); }
  void sum_on_device(std::span<double> values) { start_sum_on_device(values, {}), finish_sums_on_device(); }
  void start_sum_on_device(std::span<float> values, const Owner& owner) { start(values, owner, ncclFloat32); }
  void start_sum_on_device(std::span<double> values, const Owner& owner) { start(values, owner, ncclFloat64); }
  void finish_sums_on_device() {
    if (owners_.empty()) return;
    summed_.record(sums_);
    summed_.hold(work_);
    owners_.clear();  // whoever gets the memory now works on it behind the sums
  }

 private:
  template <class W>
  void start(std::span<W> values, const Owner& owner, ncclDataType_t type) {
    if (values.empty()) return;
    final_.record(work_);
    final_.hold(sums_);
    owners_.push_back(owner);
    check(ncclAllReduce(values.data(), values.data(), values.size(), type, ncclSum, gpus_, sums_), "ncclAllReduce");
  }
  static void check(ncclResult_t result, const char* call, const cuda::Place& place = cuda::Place::current()) {
    if (result != ncclSuccess) [[unlikely]]
      cuda::fail_call(call, ncclGetErrorString(result), place);
  }

  explicit Nccl(std::unique_ptr<C> owned) : Nccl(*owned) { owned_ = std::move(owned); }

  // The first: on the device that NCCL is to take.
  cudaStream_t work_ = cuda::stream(), sums_ = cuda::sum_stream();
  cuda::Event final_, summed_;  // of the last values that a sum was started of, and of the last sums
  std::vector<Owner> owners_;   // of each sum that work does not wait for yet
  std::unique_ptr<C> owned_;    // of a group
  C* processes_;
  ncclComm_t gpus_ = nullptr;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace lpw::inline LPW_ABI::distributed
#endif
