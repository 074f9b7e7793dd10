// Work that is issued again and again with other values in the same memory: a training step. A device that can record
// it and replay it faster than it can be issued specialises this.
#pragma once

#include <cstdint>
#include <string>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Where a tensor lies and what it holds, for a key.
template <class T, class D>
[[nodiscard]] std::string place_of(const Tensor<T, D>& tensor) {
  return to_text(static_cast<const void*>(tensor.data()), ' ', tensor.shape(), ' ');
}

/// Issues work again and again; on a device that records nothing, each time from the start.
template <class Device>
class Replay {
 public:
  /// Has work(step) done. `key` names everything in which two calls' work can differ but the contents of tensors and
  /// the step: the places of all tensors that outlive the call among it, weights too
  /// and an optimizer's states, which a release moves, and how these are stepped (optimizer.replay_key(step)).
  template <class Work>
  void run(const std::string&, std::uint32_t step, Work&& work) {
    work(step);
  }
};

}  // namespace lpw::inline LPW_ABI
