// The part of NCCL that lpw calls, for one process of several: what the others would add is for a test to say.
#pragma once

#include <cstring>
#include <functional>

#include <cuda_runtime.h>

enum ncclResult_t { ncclSuccess = 0, ncclInvalidArgument = 4, ncclInvalidUsage = 5 };
enum ncclDataType_t { ncclFloat16 = 6, ncclFloat32 = 7, ncclFloat64 = 8 };
enum ncclRedOp_t { ncclSum = 0, ncclMax = 2 };
struct ncclUniqueId {
  char internal[128];
};
struct ncclComm {
  int size, rank;
};
using ncclComm_t = ncclComm*;

namespace lpw::emulator {

/// The other processes: `times` the number that this one has is what all have together, or what `sum` makes of these.
struct Others {
  double times = 1;
  std::function<void(const ncclComm&, void* values, std::size_t count, ncclDataType_t)> sum = {};
  int asked = 0, summed = 0, open = 0;       // calls, sums that ran, communicators that are there
  std::vector<std::uint64_t> asked_at = {};  // what had been issued to the device at each call

  [[nodiscard]] static Others& instance() {
    static Others others;
    return others;
  }
};

template <class T>
void sum_with_others(const ncclComm& communicator, void* values, std::size_t count, ncclDataType_t type) {
  auto& others = Others::instance();
  ++others.summed;
  if (others.sum) return others.sum(communicator, values, count, type);
  for (std::size_t i = 0; i < count; ++i)
    static_cast<T*>(values)[i] = static_cast<T>(others.times * static_cast<double>(static_cast<T*>(values)[i]));
}

}  // namespace lpw::emulator

inline const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSuccess ? "no error" : result == ncclInvalidUsage ? "invalid usage" : "invalid argument";
}
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id->internal, 42, sizeof id->internal);
  return ncclSuccess;
}
/// Of an identity that is not ncclGetUniqueId's.
inline ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int size, ncclUniqueId id, int rank) {
  if (id.internal[0] != 42 || id.internal[127] != 42) return ncclInvalidArgument;
  if (rank < 0 || rank >= size) return ncclInvalidUsage;
  *communicator = new ncclComm{size, rank};
  ++lpw::emulator::Others::instance().open;
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  if (communicator) --lpw::emulator::Others::instance().open;
  delete communicator;
  return ncclSuccess;
}
inline ncclResult_t ncclCommAbort(ncclComm_t communicator) { return ncclCommDestroy(communicator); }
/// Sums, of floats and doubles, which is all that lpw asks for; anything else is refused.
inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                                  ncclRedOp_t operation, ncclComm_t communicator, cudaStream_t stream) {
  if (!communicator || operation != ncclSum || (type != ncclFloat32 && type != ncclFloat64)) return ncclInvalidArgument;
  auto& others = lpw::emulator::Others::instance();
  ++others.asked;
  others.asked_at.push_back(lpw::emulator::StandIn::instance().issued());
  lpw::emulator::StandIn::instance().issue(stream, [=, all = *communicator] {
    if (from != to) std::memcpy(to, from, count * (type == ncclFloat32 ? sizeof(float) : sizeof(double)));
    if (type == ncclFloat32)
      lpw::emulator::sum_with_others<float>(all, to, count, type);
    else
      lpw::emulator::sum_with_others<double>(all, to, count, type);
  });
  return ncclSuccess;
}
