// Results that the host reads one step late, so that the GPU has the next step to do meanwhile: they go to page-locked
// memory, by copies that the host does not wait for, and an event says when they are there.
#pragma once

#include <array>
#include <cassert>
#include <cstring>

#include <lpw/cuda/base/device.hpp>
#include <lpw/cuda/base/pinned.hpp>
#include <lpw/tensor/host_copy.hpp>

namespace lpw::inline LPW_ABI {

/// By page-locked memory: the device goes on meanwhile.
template <class... T>
class HostCopy<Cuda, T...> {
 public:
  static constexpr bool late = true;  // what is sent comes later than the call

  /// What was sent before must have been received: it lies in the same memory.
  void send(const Tensor<T, Cuda>&... tensors) {
    assert((tensors.contiguous() && ...));
    sizes_ = {static_cast<std::size_t>(tensors.size())...};
    const std::size_t bytes = (padded(tensors.size() * static_cast<std::int64_t>(sizeof(T))) + ... + 0);
    if (buffer_.size() < bytes) buffer_ = cuda::PinnedArray<std::byte>(bytes);
    std::byte* to = buffer_.data();
    const auto copy = [&](const void* from, std::int64_t length) {
      const auto place = cuda::Place::current();
      cuda::check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(length), cudaMemcpyDeviceToHost, cuda::stream()),
                  "cudaMemcpyAsync", place);
      to += padded(length);
    };
    (copy(tensors.data(), tensors.size() * static_cast<std::int64_t>(sizeof(T))), ...);
    sent_.record(cuda::stream());
  }

  /// The numbers of each tensor, when they have come. Valid until the next send.
  [[nodiscard]] std::tuple<std::span<const T>...> received() const {
    sent_.wait();
    const std::byte* from = buffer_.data();
    std::size_t i = 0;
    const auto next = [&]<class V>(const V*) {
      const std::span elements(reinterpret_cast<const V*>(from), sizes_[i++]);
      from += padded(static_cast<std::int64_t>(elements.size_bytes()));
      return elements;
    };
    return std::tuple<std::span<const T>...>{next(static_cast<const T*>(nullptr))...};  // in order, by the braces
  }

 private:
  /// Where the next tensor can begin.
  [[nodiscard]] static std::size_t padded(std::int64_t bytes) {
    return (static_cast<std::size_t>(bytes) + 15) / 16 * 16;
  }

  std::array<std::size_t, sizeof...(T)> sizes_{};
  cuda::PinnedArray<std::byte> buffer_;
  cuda::Event sent_;
};

}  // namespace lpw::inline LPW_ABI
