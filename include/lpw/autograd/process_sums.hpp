// Sums over processes of what lies on a device, as operations and optimizers ask for them: distributed/ says how, by
// way of the host or where it lies.
#pragma once

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Of processes whose networks are on a device D.
template <class D>
class ProcessSums {
 public:
  ProcessSums() = default;
  ProcessSums(const ProcessSums&) = delete;
  ProcessSums& operator=(const ProcessSums&) = delete;
  virtual ~ProcessSums() = default;
  /// Replaces a contiguous tensor by its sum over the processes, the same bits on each.
  virtual void sum(Tensor<float, D>& tensor) const = 0;
  virtual void sum(Tensor<double, D>& tensor) const = 0;
};

namespace detail {

/// The same by what knows of the processes (MinibatchCut, nn::MemberShare). Throws Error where these were made for
/// networks on another device.
template <class P, class T, class D>
void sum_over(const P& processes, Tensor<T, D>& tensor) {
  const auto* const sums = dynamic_cast<const ProcessSums<D>*>(&processes);
  require(sums != nullptr, "processes: their networks are on another device than ", D::name);
  sums->sum(tensor);
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
