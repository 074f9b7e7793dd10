// The part of cuDNN that lpw calls, as plain loops in double (loops.cpp): cross-correlation of NHWC images with KRSC
// filters.
//
// All algorithms compute the same, and each fails in a way of its own (`algorithm` below), so that there is one that is
// right to choose: the one that is fastest once its kernels are loaded, and never refuses.
#pragma once

#include <cublas_v2.h>

#include <algorithm>
#include <set>

#define CUDNN_VERSION 90000

enum cudnnStatus_t {
  CUDNN_STATUS_SUCCESS,
  CUDNN_STATUS_BAD_PARAM,
  CUDNN_STATUS_NOT_SUPPORTED,
  CUDNN_STATUS_EXECUTION_FAILED,
  CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
};
enum cudnnDataType_t { CUDNN_DATA_FLOAT, CUDNN_DATA_BFLOAT16, CUDNN_DATA_HALF };
enum cudnnTensorFormat_t { CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC };
enum cudnnConvolutionMode_t { CUDNN_CONVOLUTION, CUDNN_CROSS_CORRELATION };
enum cudnnMathType_t {
  CUDNN_DEFAULT_MATH,
  CUDNN_TENSOR_OP_MATH,
  CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
  CUDNN_FMA_MATH
};
enum cudnnDeterminism_t { CUDNN_NON_DETERMINISTIC, CUDNN_DETERMINISTIC };
enum cudnnConvolutionFwdAlgo_t : int {};
enum cudnnConvolutionBwdDataAlgo_t : int {};
enum cudnnConvolutionBwdFilterAlgo_t : int {};

template <class Algorithm>
struct LpwAlgorithmPerformance {
  Algorithm algo;
  cudnnStatus_t status;
  float time;
  std::size_t memory;
  cudnnDeterminism_t determinism;
  cudnnMathType_t mathType;
};
using cudnnConvolutionFwdAlgoPerf_t = LpwAlgorithmPerformance<cudnnConvolutionFwdAlgo_t>;
using cudnnConvolutionBwdDataAlgoPerf_t = LpwAlgorithmPerformance<cudnnConvolutionBwdDataAlgo_t>;
using cudnnConvolutionBwdFilterAlgoPerf_t = LpwAlgorithmPerformance<cudnnConvolutionBwdFilterAlgo_t>;

namespace lpw::emulator {

/// [n, c, h, w] or, of a filter, [k, c, r, s], in memory as n h w c.
struct DnnTensor {
  cudaDataType_t type;
  std::int64_t n, c, h, w;

  [[nodiscard]] std::int64_t at(std::int64_t i, std::int64_t channel, std::int64_t row, std::int64_t column) const {
    return ((i * h + row) * w + column) * c + channel;
  }
};
struct DnnConvolution {
  int padding_h, padding_w, stride_h, stride_w, dilation_h, dilation_w;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
  int groups = 1;
};
struct Dnn {
  cudaStream_t stream;
  int last_algorithm = -1;               // that ran
  std::int64_t most_endless_images = 0;  // that `endless` ran on
  std::set<int> loaded = {};             // algorithms that have run
  std::string last_words = {};

  /// Notes why a call failed.
  cudnnStatus_t failed(cudnnStatus_t status, std::string words) {
    last_words = std::move(words);
    return status;
  }
};
inline Dnn& dnn() {
  static Dnn& handle = *new Dnn{};
  return handle;
}

[[nodiscard]] inline cudaDataType_t cuda_type(cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT ? CUDA_R_32F : type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF : CUDA_R_16F;
}

/// The three passes, for which the tensors fit: result = old result + scale * sums.
void convolve(void* y, const DnnTensor& yt, const void* x, const DnnTensor& xt, const void* w, const DnnTensor& wt,
              const DnnConvolution& c, double scale, double old);
void convolve_backward_data(void* dx, const DnnTensor& xt, const void* dy, const DnnTensor& yt, const void* w,
                            const DnnTensor& wt, const DnnConvolution& c, double scale, double old);
void convolve_backward_filter(void* dw, const DnnTensor& wt, const void* dy, const DnnTensor& yt, const void* x,
                              const DnnTensor& xt, const DnnConvolution& c, double scale, double old);

/// Whether the three descriptors belong to one convolution.
[[nodiscard]] inline bool fit(const DnnTensor& x, const DnnTensor& w, const DnnTensor& y, const DnnConvolution& c) {
  const std::int64_t high = c.dilation_h * (w.h - 1) + 1, wide = c.dilation_w * (w.w - 1) + 1;
  return x.c == w.c * c.groups && w.n % c.groups == 0 && y.c == w.n && x.n == y.n &&
         y.h == (x.h + 2 * c.padding_h - high) / c.stride_h + 1 &&
         y.w == (x.w + 2 * c.padding_w - wide) / c.stride_w + 1 && x.type == w.type && w.type == y.type;
}

/// What each algorithm is like, in the order in which they are offered. Those between `loads` and `warm` are offered,
/// and then refuse.
namespace algorithm {
enum : int {
  none,          // is no algorithm for anything
  unordered,     // gives other bits in another run
  loads,         // the fastest in its first run, slower than `warm` afterwards
  no_workspace,  // has none to name with the math that it is offered with
  hungry,        // names more workspace than it was offered with, and than there is
  not_run,       // refuses when it is run
  warm,          // the fastest, once its kernels are loaded
  endless,       // takes seconds for many images
};
}
inline constexpr std::size_t dnn_workspace = 64;

template <class Chosen>
cudnnStatus_t find_algorithm(int wanted, int* found, LpwAlgorithmPerformance<Chosen>* results) {
  using namespace algorithm;
  *found = 0;
  for (const int which : {none, unordered, loads, no_workspace, hungry, not_run, warm, endless})
    for (const auto math : {CUDNN_TENSOR_OP_MATH, CUDNN_FMA_MATH})
      if (*found < wanted) {
        const auto status = which == none ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
        const bool repeats = which != unordered && which != loads;
        results[*found] = {static_cast<Chosen>(which),
                           status,
                           -1.f,
                           dnn_workspace,
                           repeats ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC,
                           math};
        ++*found;
      }
  return CUDNN_STATUS_SUCCESS;
}
/// What a run takes.
[[nodiscard]] inline double milliseconds_of(int which, bool first, std::int64_t images) {
  const auto each = static_cast<double>(images);
  switch (which) {
    case algorithm::loads:
      return 2 * each;
    case algorithm::warm:
      return each + (first ? 1000 : 0);
    case algorithm::endless:
      return 1000 * each;
    default:
      return 3 * each;
  }
}
inline cudnnStatus_t workspace_size(int which, std::size_t* bytes) {
  *bytes = which == algorithm::hungry ? std::size_t{1} << 50 : dnn_workspace;
  if (which != algorithm::none && which != algorithm::no_workspace) return CUDNN_STATUS_SUCCESS;
  return dnn().failed(CUDNN_STATUS_NOT_SUPPORTED, "this algorithm has no workspace");
}
/// Why an algorithm cannot run, if so; else notes that it does.
inline cudnnStatus_t start(Dnn& handle, int which, std::int64_t images, bool fits, const void* workspace,
                           std::size_t bytes) {
  if (!fits) return handle.failed(CUDNN_STATUS_BAD_PARAM, "the descriptors do not fit");
  if (!workspace || bytes < dnn_workspace) return handle.failed(CUDNN_STATUS_BAD_PARAM, "the workspace is too small");
  auto& device = StandIn::instance();
  if (which == algorithm::not_run) {
    device.last_error = cudaErrorInvalidValue;  // of a launch that it tried
    return handle.failed(CUDNN_STATUS_NOT_SUPPORTED, "this algorithm does not run");
  }
  if (which < algorithm::unordered || which == algorithm::no_workspace || which == algorithm::hungry)
    return handle.failed(CUDNN_STATUS_NOT_SUPPORTED, "this is no algorithm for that");
  if (device.last_error != cudaSuccess)
    return handle.failed(CUDNN_STATUS_EXECUTION_FAILED, "a launch found an error of CUDA's");
  handle.last_algorithm = which;
  if (which == algorithm::endless) handle.most_endless_images = std::max(handle.most_endless_images, images);
  device.milliseconds += milliseconds_of(which, handle.loaded.insert(which).second, images);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace lpw::emulator

using cudnnHandle_t = lpw::emulator::Dnn*;
using cudnnTensorDescriptor_t = lpw::emulator::DnnTensor*;
using cudnnFilterDescriptor_t = lpw::emulator::DnnTensor*;
using cudnnConvolutionDescriptor_t = lpw::emulator::DnnConvolution*;

inline const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
  }
}
inline void cudnnGetLastErrorString(char* words, std::size_t size) {
  if (size == 0) return;
  std::strncpy(words, lpw::emulator::dnn().last_words.c_str(), size - 1);
  words[size - 1] = 0;
}
inline cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = &lpw::emulator::dnn();
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* descriptor) {
  *descriptor = new lpw::emulator::DnnTensor{};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* descriptor) {
  return cudnnCreateTensorDescriptor(descriptor);
}
inline cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* descriptor) {
  *descriptor = new lpw::emulator::DnnConvolution{};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t descriptor) {
  return cudnnDestroyTensorDescriptor(descriptor);
}
inline cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t descriptor, cudnnTensorFormat_t format,
                                                cudnnDataType_t type, int n, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC || n <= 0 || c <= 0 || h <= 0 || w <= 0) return CUDNN_STATUS_BAD_PARAM;
  *descriptor = {lpw::emulator::cuda_type(type), n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t descriptor, cudnnDataType_t type,
                                                cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return cudnnSetTensor4dDescriptor(descriptor, format, type, k, c, h, w);
}
inline cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t descriptor, int padding_h,
                                                     int padding_w, int stride_h, int stride_w, int dilation_h,
                                                     int dilation_w, cudnnConvolutionMode_t mode, cudnnDataType_t) {
  if (padding_h < 0 || padding_w < 0 || stride_h <= 0 || stride_w <= 0 || dilation_h <= 0 || dilation_w <= 0)
    return CUDNN_STATUS_BAD_PARAM;
  if (mode != CUDNN_CROSS_CORRELATION) return CUDNN_STATUS_NOT_SUPPORTED;
  *descriptor = {padding_h, padding_w, stride_h, stride_w, dilation_h, dilation_w};
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t descriptor, int groups) {
  if (groups <= 0) return CUDNN_STATUS_BAD_PARAM;
  descriptor->groups = groups;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t descriptor, cudnnMathType_t math) {
  descriptor->math = math;
  return CUDNN_STATUS_SUCCESS;
}

inline cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                            cudnnFilterDescriptor_t, cudnnConvolutionDescriptor_t,
                                                            cudnnTensorDescriptor_t, int wanted, int* found,
                                                            cudnnConvolutionFwdAlgoPerf_t* results) {
  return lpw::emulator::find_algorithm(wanted, found, results);
}
inline cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                             cudnnFilterDescriptor_t, cudnnConvolutionDescriptor_t,
                                                             cudnnTensorDescriptor_t, cudnnConvolutionFwdAlgo_t which,
                                                             std::size_t* bytes) {
  return lpw::emulator::workspace_size(which, bytes);
}
inline cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t,
                                                                 cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                                 cudnnTensorDescriptor_t, int wanted, int* found,
                                                                 cudnnConvolutionBwdDataAlgoPerf_t* results) {
  return lpw::emulator::find_algorithm(wanted, found, results);
}
inline cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t,
                                                                  cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                                  cudnnTensorDescriptor_t,
                                                                  cudnnConvolutionBwdDataAlgo_t which,
                                                                  std::size_t* bytes) {
  return lpw::emulator::workspace_size(which, bytes);
}
inline cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                                   cudnnTensorDescriptor_t,
                                                                   cudnnConvolutionDescriptor_t,
                                                                   cudnnFilterDescriptor_t, int wanted, int* found,
                                                                   cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  return lpw::emulator::find_algorithm(wanted, found, results);
}
inline cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
    cudnnFilterDescriptor_t, cudnnConvolutionBwdFilterAlgo_t which, std::size_t* bytes) {
  return lpw::emulator::workspace_size(which, bytes);
}

inline cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd,
                                             const void* x, cudnnFilterDescriptor_t wd, const void* w,
                                             cudnnConvolutionDescriptor_t cd, cudnnConvolutionFwdAlgo_t which,
                                             void* workspace, std::size_t bytes, const void* beta,
                                             cudnnTensorDescriptor_t yd, void* y) {
  using namespace lpw::emulator;
  const auto status = start(*handle, which, xd->n, fit(*xd, *wd, *yd, *cd), workspace, bytes);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  StandIn::instance().issue(handle->stream,
                            [=, xt = *xd, wt = *wd, yt = *yd, c = *cd, scale = *static_cast<const float*>(alpha),
                             old = *static_cast<const float*>(beta)] { convolve(y, yt, x, xt, w, wt, c, scale, old); });
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t wd,
                                                  const void* w, cudnnTensorDescriptor_t yd, const void* dy,
                                                  cudnnConvolutionDescriptor_t cd, cudnnConvolutionBwdDataAlgo_t which,
                                                  void* workspace, std::size_t bytes, const void* beta,
                                                  cudnnTensorDescriptor_t xd, void* dx) {
  using namespace lpw::emulator;
  const auto status = start(*handle, which, xd->n, fit(*xd, *wd, *yd, *cd), workspace, bytes);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  StandIn::instance().issue(
      handle->stream,
      [=, xt = *xd, wt = *wd, yt = *yd, c = *cd, scale = *static_cast<const float*>(alpha),
       old = *static_cast<const float*>(beta)] { convolve_backward_data(dx, xt, dy, yt, w, wt, c, scale, old); });
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd,
                                                    const void* x, cudnnTensorDescriptor_t yd, const void* dy,
                                                    cudnnConvolutionDescriptor_t cd,
                                                    cudnnConvolutionBwdFilterAlgo_t which, void* workspace,
                                                    std::size_t bytes, const void* beta, cudnnFilterDescriptor_t wd,
                                                    void* dw) {
  using namespace lpw::emulator;
  const auto status = start(*handle, which, xd->n, fit(*xd, *wd, *yd, *cd), workspace, bytes);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  StandIn::instance().issue(
      handle->stream,
      [=, xt = *xd, wt = *wd, yt = *yd, c = *cd, scale = *static_cast<const float*>(alpha),
       old = *static_cast<const float*>(beta)] { convolve_backward_filter(dw, wt, dy, yt, x, xt, c, scale, old); });
  return CUDNN_STATUS_SUCCESS;
}
