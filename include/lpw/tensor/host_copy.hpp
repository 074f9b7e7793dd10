// Small results that the host reads after every step: a training step's losses. A device that works on its own has them
// copied while it goes on, and specialises this.
#pragma once

#include <span>
#include <tuple>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Copies of one tensor of each type on the host, made anew in the same memory.
template <class Device, class... T>
class HostCopy {
 public:
  /// Whether received() had best be called late, after other work was issued: until what was sent is there, it waits.
  static constexpr bool late = false;

  /// Copies contiguous tensors, as they are after the work issued so far.
  void send(const Tensor<T, Device>&... tensors) { copies_ = {to_host(tensors)...}; }
  /// The elements of what was sent last, until more is.
  [[nodiscard]] std::tuple<std::span<const T>...> received() const {
    return std::apply(
        [](const auto&... copies) {
          return std::tuple(std::span<const T>(copies.data(), static_cast<std::size_t>(copies.size()))...);
        },
        copies_);
  }

 private:
  std::tuple<Tensor<T, Cpu>...> copies_;
};

}  // namespace lpw::inline LPW_ABI
