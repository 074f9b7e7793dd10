// Batch norm + ReLU of one member by cuDNN, as a framework without a member axis would call it K times.
#pragma once

#include <array>

#include <lpw/cuda/base/cudnn.hpp>

#include "device_time.hpp"

namespace benchmarks {

/// One of cuDNN's forms of training batch norm, fastest first. Not every form takes every type and shape.
struct CudnnForm {
  cudnnBatchNormMode_t mode;
  cudnnBatchNormOps_t operations;
  const char* name;
};
inline constexpr std::array<CudnnForm, 3> cudnn_forms{{
    {CUDNN_BATCHNORM_SPATIAL_PERSISTENT, CUDNN_BATCHNORM_OPS_BN_ACTIVATION, "cuDNN, persistent, with ReLU"},
    {CUDNN_BATCHNORM_SPATIAL_PERSISTENT, CUDNN_BATCHNORM_OPS_BN, "cuDNN, persistent, without the ReLU"},
    {CUDNN_BATCHNORM_SPATIAL, CUDNN_BATCHNORM_OPS_BN, "cuDNN, without the ReLU"},
}};

/// Descriptors and memory for a member's x [B, H, W, C].
template <class T>
class CudnnBatchNorm {
 public:
  CudnnBatchNorm(const lpw::Shape& shape, const CudnnForm& form)
      : form_(form),
        gamma_(lpw::full<float, lpw::Cuda>({shape[3]}, 1.f)),
        statistics_(lpw::zeros<float, lpw::Cuda>({7, shape[3]})) {
    using lpw::cuda::detail::check;
    const auto extent = [&](int axis) { return static_cast<int>(shape[axis]); };
    check(cudnnCreateTensorDescriptor(&x_), "cudnnCreateTensorDescriptor");
    check(cudnnCreateTensorDescriptor(&channels_), "cudnnCreateTensorDescriptor");
    check(cudnnCreateActivationDescriptor(&relu_), "cudnnCreateActivationDescriptor");
    check(cudnnSetTensor4dDescriptor(x_, CUDNN_TENSOR_NHWC, lpw::cuda::detail::dnn_type<T>, extent(0), extent(3),
                                     extent(1), extent(2)),
          "cudnnSetTensor4dDescriptor");
    check(cudnnDeriveBNTensorDescriptor(channels_, x_, form.mode), "cudnnDeriveBNTensorDescriptor");
    check(cudnnSetActivationDescriptor(relu_, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0),
          "cudnnSetActivationDescriptor");
  }
  ~CudnnBatchNorm() {
    static_cast<void>(cudnnDestroyTensorDescriptor(x_));
    static_cast<void>(cudnnDestroyTensorDescriptor(channels_));
    static_cast<void>(cudnnDestroyActivationDescriptor(relu_));
  }
  CudnnBatchNorm(const CudnnBatchNorm&) = delete;
  CudnnBatchNorm& operator=(const CudnnBatchNorm&) = delete;

  /// Allocates what cuDNN asks for. False where it does not implement this form.
  [[nodiscard]] bool prepare() {
    std::size_t forward = 0, backward = 0, reserve = 0;
    const auto h = lpw::cuda::detail::dnn();
    const auto relu = activation();
    if (cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(h, form_.mode, form_.operations, x_, x_, x_, channels_,
                                                                 relu, &forward) ||
        cudnnGetBatchNormalizationBackwardExWorkspaceSize(h, form_.mode, form_.operations, x_, x_, x_, x_, x_,
                                                          channels_, relu, &backward) ||
        cudnnGetBatchNormalizationTrainingExReserveSpaceSize(h, form_.mode, form_.operations, relu, x_, &reserve))
      return false;
    workspace_ = bytes(std::max(forward, backward));
    reserve_ = bytes(reserve);
    return true;
  }

  [[nodiscard]] cudnnStatus_t forward(const T* x, T* y) {
    return cudnnBatchNormalizationForwardTrainingEx(
        lpw::cuda::detail::dnn(), form_.mode, form_.operations, &one, &zero, x_, x, x_, nullptr, x_, y, channels_,
        gamma_.data(), row(0), 0.1, row(1), row(2), 1e-5, row(3), row(4), activation(), workspace_.data(),
        size(workspace_), reserve_.data(), size(reserve_));
  }
  [[nodiscard]] cudnnStatus_t backward(const T* x, const T* y, const T* dy, T* dx) {
    return cudnnBatchNormalizationBackwardEx(lpw::cuda::detail::dnn(), form_.mode, form_.operations, &one, &zero, &one,
                                             &zero, x_, x, x_, y, x_, dy, x_, nullptr, x_, dx, channels_, gamma_.data(),
                                             row(0), row(5), row(6), 1e-5, row(3), row(4), activation(),
                                             workspace_.data(), size(workspace_), reserve_.data(), size(reserve_));
  }

 private:
  static constexpr float one = 1, zero = 0;
  static lpw::Tensor<std::uint8_t, lpw::Cuda> bytes(std::size_t count) {
    return lpw::Tensor<std::uint8_t, lpw::Cuda>({static_cast<std::int64_t>(std::max<std::size_t>(count, 1))});
  }
  static std::size_t size(const lpw::Tensor<std::uint8_t, lpw::Cuda>& tensor) {
    return static_cast<std::size_t>(tensor.size());
  }
  [[nodiscard]] cudnnActivationDescriptor_t activation() const {
    return form_.operations == CUDNN_BATCHNORM_OPS_BN ? nullptr : relu_;
  }
  /// beta, running mean and variance, saved mean and inverse deviation, dgamma, dbeta.
  [[nodiscard]] float* row(std::int64_t i) { return statistics_.row(i); }

  CudnnForm form_;
  cudnnTensorDescriptor_t x_ = nullptr, channels_ = nullptr;
  cudnnActivationDescriptor_t relu_ = nullptr;
  lpw::Tensor<float, lpw::Cuda> gamma_, statistics_;
  lpw::Tensor<std::uint8_t, lpw::Cuda> workspace_, reserve_;
};

}  // namespace benchmarks
