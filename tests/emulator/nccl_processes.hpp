// Several processes on the emulator whose GPUs sum by the stand-in for NCCL.
#pragma once

#define LPW_WITH_NCCL 1
#include <lpw/distributed/nccl.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "emulator/processes.hpp"
#include "support/compare.hpp"

namespace lpw::test {

/// Calls body(gpus) in so many processes, of which this is the first. Returns whether the others came to its end.
template <class Body>
[[nodiscard]] bool in_nccl_processes(int size, Body&& body) {
  const bool well = in_processes(size, [&](Forked all) {
    auto& others = emulator::Others::instance();
    others = {};
    others.sum = [all](const ncclComm& group, void* values, std::size_t count, ncclDataType_t type) {
      const auto these = all.of(group.rank, group.size);
      if (type == ncclFloat32) return these.sum(std::span(static_cast<float*>(values), count));
      these.sum(std::span(static_cast<double*>(values), count));
    };
    distributed::Nccl<Forked> gpus(all);
    body(gpus);
  });
  emulator::Others::instance().sum = {};
  return well;
}

/// Throws Error unless all processes have the same bits of these.
template <class C>
void require_same_bits(C& processes, const std::vector<Tensor<float, Cpu>>& tensors) {
  for (const auto& tensor : tensors) {
    const auto own = std::as_bytes(std::span(tensor.data(), to_size(tensor.size())));
    std::vector<std::byte> all(own.size() * to_size(processes.size()));
    processes.gather(own, all);
    for (std::size_t first = 0; first < all.size(); first += own.size())
      require(std::equal(own.begin(), own.end(), all.begin() + static_cast<std::ptrdiff_t>(first)), "process ",
              processes.rank(), " has other bits of a tensor ", tensor.shape(), " than another");
  }
}

/// Checks what the first of several processes has against one's. Sums in another order, as float: some eps = 6e-8 each
/// of numbers of about 1, in at most some thirty steps. They move an activation of T = bfloat16 here and there to its
/// neighbour, by 2^-8 of itself: gradients, which are means over dozens, by less than 2^-10.
template <class T = float>
void check_near(const std::vector<Tensor<float, Cpu>>& found, const std::vector<Tensor<float, Cpu>>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(distance(found[i], expected[i]) < (std::is_same_v<T, float> ? 1e-5 : 0x1p-10));
  }
}

}  // namespace lpw::test
