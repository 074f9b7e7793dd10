// Convolutions by cuDNN: descriptors for a geometry, and the algorithm for each of its three passes, chosen once and
// kept.
#pragma once

#include <cudnn.h>

#include <array>
#include <map>
#include <tuple>
#include <vector>

#include <lpw/cuda/base/convert.hpp>
#include <lpw/cuda/base/settings.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::cuda {

namespace detail {

inline void check(cudnnStatus_t status, std::string_view call, const Place& place = Place::current()) {
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) [[unlikely]]
    fail_memory(call, place);
  if (status != CUDNN_STATUS_SUCCESS) [[unlikely]]
    fail_call(call, cudnnGetErrorString(status), place);
}

[[nodiscard]] inline cudnnHandle_t make_dnn() {
  cudnnHandle_t handle = nullptr;
  check(cudnnCreate(&handle), "cudnnCreate");
  check(cudnnSetStream(handle, stream()), "cudnnSetStream");
  return handle;
}

[[nodiscard]] inline cudnnHandle_t dnn() {
  static const cudnnHandle_t handle = make_dnn();
  return handle;
}

template <class T>
inline constexpr cudnnDataType_t dnn_type = std::is_same_v<T, float>      ? CUDNN_DATA_FLOAT
                                            : std::is_same_v<T, bfloat16> ? CUDNN_DATA_BFLOAT16
                                                                          : CUDNN_DATA_HALF;

/// Descriptors of one convolution: NHWC images, KRSC filters. They live as long as the process, in the cache of plans.
struct ConvolutionDescriptors {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;

  ConvolutionDescriptors(const Conv2dGeometry& g, cudnnDataType_t type, cudnnMathType_t math) {
    const auto narrow = [](std::int64_t extent) { return static_cast<int>(extent); };
    check(cudnnCreateTensorDescriptor(&x), "cudnnCreateTensorDescriptor");
    check(cudnnCreateTensorDescriptor(&y), "cudnnCreateTensorDescriptor");
    check(cudnnCreateFilterDescriptor(&w), "cudnnCreateFilterDescriptor");
    check(cudnnCreateConvolutionDescriptor(&convolution), "cudnnCreateConvolutionDescriptor");
    check(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, type, narrow(g.images), narrow(g.channels), narrow(g.height),
                                     narrow(g.width)),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, type, narrow(g.images), narrow(g.out_channels),
                                     narrow(g.out_height()), narrow(g.out_width())),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NHWC, narrow(g.out_channels), narrow(g.channels),
                                     narrow(g.kernel_height), narrow(g.kernel_width)),
          "cudnnSetFilter4dDescriptor");
    check(cudnnSetConvolution2dDescriptor(convolution, narrow(g.padding), narrow(g.padding), narrow(g.stride),
                                          narrow(g.stride), 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
          "cudnnSetConvolution2dDescriptor");
    check(cudnnSetConvolutionMathType(convolution, math), "cudnnSetConvolutionMathType");
  }
};

/// The three tensors of a convolution or of its gradients; a pass writes the one that is not input to it.
struct ConvolutionOperands {
  void *x, *w, *y;
};
enum class Operand { x, w, y };

struct Scratch {
  void* data;
  std::size_t bytes;
};

/// What timing may use: not from the pool, which would keep a block of this size for good. Memory that the pool keeps
/// unused is returned first if that is more than what is left.
struct TrialWorkspace {
  Scratch scratch{};

  TrialWorkspace() {
    std::size_t free = 0, total = 0;
    cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    if (free / 2 < settings().convolution_workspace) {
      synchronize();
      pool().trim();
      cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    }
    scratch.bytes = std::min(settings().convolution_workspace, free / 2);
    scratch.data = DeviceMemory::allocate(scratch.bytes, 0);
    if (!scratch.data) scratch.bytes = 0;
  }
  ~TrialWorkspace() { DeviceMemory::release(scratch.data); }
  TrialWorkspace(const TrialWorkspace&) = delete;
  TrialWorkspace& operator=(const TrialWorkspace&) = delete;
};

/// At least so many bytes that every convolution may write to, since they run one after another; null for none. A
/// smaller one than is asked for stays where it is, since captured graphs hold its address.
[[nodiscard]] inline void* convolution_workspace(std::size_t bytes) {
  static auto& workspaces = *new std::vector<Tensor<std::uint8_t, Cuda>>;
  if (bytes == 0) return nullptr;
  if (workspaces.empty() || static_cast<std::size_t>(workspaces.back().size()) < bytes)
    workspaces.emplace_back(Shape{static_cast<std::int64_t>(bytes)});
  return workspaces.back().data();
}

/// cuDNN's three sets of functions under one name each.
struct ForwardPass {
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  using Found = cudnnConvolutionFwdAlgoPerf_t;
  static constexpr const char* name = "cudnnConvolutionForward";
  static constexpr Operand output = Operand::y;

  static cudnnStatus_t rank(const ConvolutionDescriptors& d, int wanted, int* count, Found* found) {
    return cudnnGetConvolutionForwardAlgorithm_v7(dnn(), d.x, d.w, d.convolution, d.y, wanted, count, found);
  }
  static cudnnStatus_t time(const ConvolutionDescriptors& d, const ConvolutionOperands& o, int wanted, int* count,
                            Found* found, Scratch scratch) {
    return cudnnFindConvolutionForwardAlgorithmEx(dnn(), d.x, o.x, d.w, o.w, d.convolution, d.y, o.y, wanted, count,
                                                  found, scratch.data, scratch.bytes);
  }
  static cudnnStatus_t run(const ConvolutionDescriptors& d, const ConvolutionOperands& o, Algorithm algorithm,
                           Scratch scratch, const float* one, const float* kept) {
    return cudnnConvolutionForward(dnn(), one, d.x, o.x, d.w, o.w, d.convolution, algorithm, scratch.data,
                                   scratch.bytes, kept, d.y, o.y);
  }
};

struct BackwardDataPass {
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  using Found = cudnnConvolutionBwdDataAlgoPerf_t;
  static constexpr const char* name = "cudnnConvolutionBackwardData";
  static constexpr Operand output = Operand::x;

  static cudnnStatus_t rank(const ConvolutionDescriptors& d, int wanted, int* count, Found* found) {
    return cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn(), d.w, d.y, d.convolution, d.x, wanted, count, found);
  }
  static cudnnStatus_t time(const ConvolutionDescriptors& d, const ConvolutionOperands& o, int wanted, int* count,
                            Found* found, Scratch scratch) {
    return cudnnFindConvolutionBackwardDataAlgorithmEx(dnn(), d.w, o.w, d.y, o.y, d.convolution, d.x, o.x, wanted,
                                                       count, found, scratch.data, scratch.bytes);
  }
  static cudnnStatus_t run(const ConvolutionDescriptors& d, const ConvolutionOperands& o, Algorithm algorithm,
                           Scratch scratch, const float* one, const float* kept) {
    return cudnnConvolutionBackwardData(dnn(), one, d.w, o.w, d.y, o.y, d.convolution, algorithm, scratch.data,
                                        scratch.bytes, kept, d.x, o.x);
  }
};

struct BackwardWeightPass {
  using Algorithm = cudnnConvolutionBwdFilterAlgo_t;
  using Found = cudnnConvolutionBwdFilterAlgoPerf_t;
  static constexpr const char* name = "cudnnConvolutionBackwardFilter";
  static constexpr Operand output = Operand::w;

  static cudnnStatus_t rank(const ConvolutionDescriptors& d, int wanted, int* count, Found* found) {
    return cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn(), d.x, d.y, d.convolution, d.w, wanted, count, found);
  }
  static cudnnStatus_t time(const ConvolutionDescriptors& d, const ConvolutionOperands& o, int wanted, int* count,
                            Found* found, Scratch scratch) {
    return cudnnFindConvolutionBackwardFilterAlgorithmEx(dnn(), d.x, o.x, d.y, o.y, d.convolution, d.w, o.w, wanted,
                                                         count, found, scratch.data, scratch.bytes);
  }
  static cudnnStatus_t run(const ConvolutionDescriptors& d, const ConvolutionOperands& o, Algorithm algorithm,
                           Scratch scratch, const float* one, const float* kept) {
    return cudnnConvolutionBackwardFilter(dnn(), one, d.x, o.x, d.y, o.y, d.convolution, algorithm, scratch.data,
                                          scratch.bytes, kept, d.w, o.w);
  }
};

[[nodiscard]] inline std::string describe(const Conv2dGeometry& g) {
  return to_text(g.images, " images of ", g.height, 'x', g.width, 'x', g.channels, ", ", g.kernel_height, 'x',
                 g.kernel_width, " to ", g.out_channels, " channels, stride ", g.stride, ", padding ", g.padding);
}

/// A pass over one geometry, ready to run.
template <class Pass>
struct ConvolutionPlan {
  ConvolutionDescriptors descriptors;
  typename Pass::Algorithm algorithm{};
  std::size_t workspace = 0;
};

/// The fastest algorithm within the workspace: timed on the operands, or, if runs must repeat, cuDNN's first guess that
/// is deterministic.
template <class Pass, class T>
[[nodiscard]] ConvolutionPlan<Pass> plan_convolution(const Conv2dGeometry& g, ConvolutionOperands operands,
                                                     std::int64_t output_size) {
  const bool plain_float = std::is_same_v<T, float> && !settings().tf32;
  ConvolutionPlan<Pass> plan{
      ConvolutionDescriptors(g, dnn_type<T>, plain_float ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH)};
  std::array<typename Pass::Found, 16> found{};
  int count = 0;
  if (settings().deterministic) {
    check(Pass::rank(plan.descriptors, static_cast<int>(found.size()), &count, found.data()), Pass::name);
  } else {
    const Tensor<T, Cuda> result({output_size});  // timing overwrites the result, which may be wanted
    auto trial = operands;
    (Pass::output == Operand::x   ? trial.x
     : Pass::output == Operand::w ? trial.w
                                  : trial.y) = const_cast<T*>(result.data());
    const TrialWorkspace workspace;
    check(Pass::time(plan.descriptors, trial, static_cast<int>(found.size()), &count, found.data(), workspace.scratch),
          Pass::name);
  }
  for (int i = 0; i < count; ++i) {
    const auto& candidate = found[static_cast<std::size_t>(i)];
    if (candidate.status != CUDNN_STATUS_SUCCESS || candidate.memory > settings().convolution_workspace) continue;
    if (settings().deterministic && candidate.determinism != CUDNN_DETERMINISTIC) continue;
    if (plain_float && candidate.mathType != CUDNN_FMA_MATH && candidate.mathType != CUDNN_DEFAULT_MATH) continue;
    plan.algorithm = candidate.algo;
    plan.workspace = candidate.memory;
    check(cudnnSetConvolutionMathType(plan.descriptors.convolution, plain_float ? CUDNN_FMA_MATH : candidate.mathType),
          "cudnnSetConvolutionMathType");
    return plan;
  }
  fail<CudaError>(
      Pass::name, ": cuDNN has no algorithm for ", describe(g), " in ", dtype_name<T>(),
      settings().deterministic ? " that is deterministic; leave out `deterministic`" : "; try another precision");
}

}  // namespace detail

/// Runs one pass of a convolution of tensors at the operands' addresses; `output_size` elements are written, or added
/// to.
template <class Pass, class T>
void convolve(const Conv2dGeometry& g, const detail::ConvolutionOperands& operands, std::int64_t output_size,
              bool accumulate, const Place& place = Place::current()) {
  const std::int64_t elements = g.images * std::max(g.in_size(), g.out_size());
  constexpr std::int64_t most = (std::int64_t{1} << 31) - 1;  // cuDNN counts in 32 bits
  require<ShapeError>(elements <= most, "conv2d: ", elements, " elements in one convolution; on the GPU there may be ",
                      most, ", so lower `member_chunk` or take a smaller batch");
  using Key = std::tuple<std::array<std::int64_t, 9>, bool, bool>;  // T is the function's own
  static auto& plans = *new std::map<Key, detail::ConvolutionPlan<Pass>>;
  const Key key{g.numbers(), settings().tf32, settings().deterministic};
  auto at = plans.find(key);
  if (at == plans.end()) at = plans.emplace(key, detail::plan_convolution<Pass, T>(g, operands, output_size)).first;
  const auto& plan = at->second;
  const float one = 1, kept = accumulate ? 1 : 0;
  const detail::Scratch workspace{detail::convolution_workspace(plan.workspace), plan.workspace};
  detail::check(Pass::run(plan.descriptors, operands, plan.algorithm, workspace, &one, &kept), Pass::name, place);
}

}  // namespace lpw::inline LPW_ABI::cuda
