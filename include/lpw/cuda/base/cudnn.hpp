// Convolutions by cuDNN: descriptors for a geometry, and the algorithm for each of its three passes, chosen once and
// kept. Only what has been run is chosen: cuDNN offers algorithms that it then refuses.
#pragma once

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <lpw/cuda/base/convert.hpp>
#include <lpw/cuda/base/narrow.hpp>
#include <lpw/cuda/base/settings.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::cuda {

namespace detail {

/// What cuDNN calls a status, and from version 9 on, what it has to say of its last failure.
[[nodiscard]] inline std::string message_of(cudnnStatus_t status) {
  std::string message = cudnnGetErrorString(status);
#if CUDNN_VERSION >= 90000
  std::array<char, 1024> words{};
  cudnnGetLastErrorString(words.data(), words.size() - 1);
  if (words.front() != 0) message += to_text(", ", words.data());
#endif
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

inline void check(cudnnStatus_t status, std::string_view call, const Place& place = Place::current()) {
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) [[unlikely]]
    fail_memory(call, place);
  if (status != CUDNN_STATUS_SUCCESS) [[unlikely]]
    fail_call(call, message_of(status), place);
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
    const auto narrow = [](const char* field, std::int64_t extent) { return cuda::narrow("conv2d", field, extent); };
    const int images = narrow("images", g.images), channels = narrow("channels", g.channels),
              out_channels = narrow("out_channels", g.out_channels), padding = narrow("padding", g.padding),
              stride = narrow("stride", g.stride);
    static_cast<void>(narrow("weight_size", g.weight_size()));
    check(cudnnCreateTensorDescriptor(&x), "cudnnCreateTensorDescriptor");
    check(cudnnCreateTensorDescriptor(&y), "cudnnCreateTensorDescriptor");
    check(cudnnCreateFilterDescriptor(&w), "cudnnCreateFilterDescriptor");
    check(cudnnCreateConvolutionDescriptor(&convolution), "cudnnCreateConvolutionDescriptor");
    check(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, type, images, channels, narrow("height", g.height),
                                     narrow("width", g.width)),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, type, images, out_channels,
                                     narrow("out_height", g.out_height()), narrow("out_width", g.out_width())),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NHWC, out_channels, channels,
                                     narrow("kernel_height", g.kernel_height), narrow("kernel_width", g.kernel_width)),
          "cudnnSetFilter4dDescriptor");
    check(cudnnSetConvolution2dDescriptor(convolution, padding, padding, stride, stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                          CUDNN_DATA_FLOAT),
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
  if (workspaces.empty() || static_cast<std::size_t>(workspaces.back().size()) < bytes) {
    const Pool::Lasting lasting(pool());
    workspaces.emplace_back(Shape{static_cast<std::int64_t>(bytes)});
  }
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
  static cudnnStatus_t workspace(const ConvolutionDescriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(dnn(), d.x, d.w, d.convolution, d.y, algorithm, bytes);
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
  static cudnnStatus_t workspace(const ConvolutionDescriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(dnn(), d.w, d.y, d.convolution, d.x, algorithm, bytes);
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
  static cudnnStatus_t workspace(const ConvolutionDescriptors& d, Algorithm algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(dnn(), d.x, d.y, d.convolution, d.w, algorithm, bytes);
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

/// What cuDNN offers for a pass, the best first: timed on the operands, or, if runs must repeat, as it guesses.
template <class Pass>
[[nodiscard]] std::vector<typename Pass::Found> offered(const ConvolutionDescriptors& descriptors,
                                                        const ConvolutionOperands& operands) {
  std::vector<typename Pass::Found> found(16);
  int count = 0;
  if (settings().deterministic) {
    check(Pass::rank(descriptors, static_cast<int>(found.size()), &count, found.data()), Pass::name);
  } else {
    const TrialWorkspace workspace;
    // Twice: the first time counts what comes once, such as loading the kernels.
    for (int i = 0; i < 2; ++i)
      check(Pass::time(descriptors, operands, static_cast<int>(found.size()), &count, found.data(), workspace.scratch),
            Pass::name);
  }
  found.resize(static_cast<std::size_t>(count));
  return found;
}

/// Whether a pass runs with what cuDNN offered, and in how much workspace, which may differ from the offer's: that was
/// for the offer's own kind of arithmetic. In plain float tensor cores must not be used.
template <class Pass>
[[nodiscard]] bool serves(const typename Pass::Found& offer, bool plain_float, const ConvolutionOperands& operands,
                          ConvolutionPlan<Pass>& plan) {
  const std::size_t most = settings().convolution_workspace;
  if (offer.status != CUDNN_STATUS_SUCCESS || offer.memory > most) return false;
  if (settings().deterministic && offer.determinism != CUDNN_DETERMINISTIC) return false;
  if (plain_float && offer.mathType != CUDNN_FMA_MATH && offer.mathType != CUDNN_DEFAULT_MATH) return false;
  plan.algorithm = offer.algo;
  check(cudnnSetConvolutionMathType(plan.descriptors.convolution, plain_float ? CUDNN_FMA_MATH : offer.mathType),
        "cudnnSetConvolutionMathType");
  if (Pass::workspace(plan.descriptors, plan.algorithm, &plan.workspace) != CUDNN_STATUS_SUCCESS) return false;
  if (plan.workspace > most) return false;
  Tensor<std::uint8_t, Cuda> scratch;
  if (plan.workspace > 0) scratch = Tensor<std::uint8_t, Cuda>({static_cast<std::int64_t>(plan.workspace)});
  const float one = 1, none = 0;
  const cudnnStatus_t ran =
      Pass::run(plan.descriptors, operands, plan.algorithm, {scratch.data(), plan.workspace}, &one, &none);
  // A shortage must not decide which bits come out.
  if (ran == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) check(ran, Pass::name);
  return ran == CUDNN_STATUS_SUCCESS;
}

/// The first that serves of what cuDNN offers within the workspace.
template <class Pass, class T>
[[nodiscard]] ConvolutionPlan<Pass> plan_convolution(const Conv2dGeometry& g, ConvolutionOperands operands,
                                                     std::int64_t output_size) {
  const bool plain_float = std::is_same_v<T, float> && !settings().tf32;
  ConvolutionPlan<Pass> plan{
      ConvolutionDescriptors(g, dnn_type<T>, plain_float ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH)};
  const Tensor<T, Cuda> result({output_size});  // what is tried overwrites the result, which may be wanted
  (Pass::output == Operand::x   ? operands.x
   : Pass::output == Operand::w ? operands.w
                                : operands.y) = const_cast<T*>(result.data());
  for (const auto& offer : offered<Pass>(plan.descriptors, operands)) {
    if (serves(offer, plain_float, operands, plan)) return plan;
    static_cast<void>(cudaGetLastError());  // of one that refused
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
