// Sums of tensors by a communicator: on the CPU, or on a device where they lie, or by way of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <lpw/autograd/primitives.hpp>
#include <lpw/autograd/process_sums.hpp>
#include <lpw/distributed/communicator.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed::detail {

template <class T, class D>
[[nodiscard]] std::span<T> elements(Tensor<T, D>& tensor) {
  return {tensor.data(), to_size(tensor.size())};
}

/// Calls f(elements) with a contiguous tensor's on the host, and takes over what f makes of them.
template <class T, class D, class F>
void on_host(Tensor<T, D> tensor, F&& f) {
  if (tensor.size() == 0) return;
  auto host = to_host(tensor);  // on the CPU the tensor itself
  f(elements(host));
  if constexpr (!std::is_same_v<D, Cpu>) copy(to_device<D>(host), tensor);
}

/// Sums a contiguous tensor where it lies, if the communicator can, or by way of the host.
template <Communicator C, class W, class D>
void sum_tensor(C& communicator, Tensor<W, D>& tensor) {
  if constexpr (DeviceCommunicator<C> && !std::is_same_v<D, Cpu>)
    if (communicator.sums_on_device()) return communicator.sum_on_device(elements(tensor));
  on_host(tensor, [&](auto values) { communicator.sum(values); });
}

/// Multiplies a contiguous tensor: a process' gradient by what it counts in a sum.
template <class W, class D>
void weigh(Tensor<W, D>& tensor, double weight) {
  if (weight == 1 || tensor.size() == 0) return;
  const FunctionInputs<W, W, D> values{.x = Strided<W, D>::of(tensor), .scale = weight};
  apply_function<Function::affine>(tensor.shape(), values, StridedTarget<W, D>{Strided<W, D>::of(tensor)});
}

/// What can sum tensors on D while the process, or the device, computes something else.
template <class C, class D>
concept SumsMeanwhile = (std::is_same_v<D, Cpu> ? OverlappingCommunicator<C> : DeviceCommunicator<C>);

/// Whether it does, which of a device it says itself.
template <class D, Communicator C>
[[nodiscard]] bool sums_meanwhile(const C& communicator) {
  if constexpr (std::is_same_v<D, Cpu>)
    return OverlappingCommunicator<C>;
  else if constexpr (DeviceCommunicator<C>)
    return communicator.sums_on_device();
  else
    return false;
}

/// start_sum and the like, of a contiguous tensor that lies on D.
template <class W, class D, SumsMeanwhile<D> C>
void start_sum(C& communicator, Tensor<W, D>& tensor, const Owner& owner) {
  if constexpr (std::is_same_v<D, Cpu>)
    communicator.start_sum(elements(tensor), owner);
  else
    communicator.start_sum_on_device(elements(tensor), owner);
}
template <class D, SumsMeanwhile<D> C>
void progress(C& communicator) {
  if constexpr (std::is_same_v<D, Cpu>) communicator.progress();  // a device works on by itself
}
template <class D, SumsMeanwhile<D> C>
void finish_sums(C& communicator) {
  if constexpr (std::is_same_v<D, Cpu>)
    communicator.finish_sums();
  else
    communicator.finish_sums_on_device();
}

/// Tensors' sums by a communicator.
template <Communicator C, class D>
class SumsBy : public ProcessSums<D> {
 public:
  explicit SumsBy(C& communicator) : communicator_(&communicator) {}
  void sum(Tensor<float, D>& tensor) const override { sum_tensor(*communicator_, tensor); }
  void sum(Tensor<double, D>& tensor) const override { sum_tensor(*communicator_, tensor); }

 protected:
  C* communicator_;
};

}  // namespace lpw::inline LPW_ABI::distributed::detail
