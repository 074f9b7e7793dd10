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

/// A descriptor of cuDNN's, made and destroyed by these functions.
template <class Descriptor, cudnnStatus_t (*Create)(Descriptor*), cudnnStatus_t (*Destroy)(Descriptor)>
class Described {
 public:
  Described() { check(Create(&descriptor_), "cudnnCreate...Descriptor"); }
  Described(Described&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Described& operator=(Described&&) = delete;
  ~Described() {
    if (descriptor_) static_cast<void>(Destroy(descriptor_));
  }
  operator Descriptor() const { return descriptor_; }

 private:
  Descriptor descriptor_ = nullptr;
};

/// Descriptors of one convolution: NHWC images, KRSC filters.
struct ConvolutionDescriptors {
  Described<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> x, y;
  Described<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor> w;
  Described<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>
      convolution;

  ConvolutionDescriptors(const Conv2dGeometry& g, cudnnDataType_t type, cudnnMathType_t math) {
    const auto narrow = [](const char* field, std::int64_t extent) { return cuda::narrow("conv2d", field, extent); };
    const int images = narrow("images", g.images), channels = narrow("channels", g.channels),
              out_channels = narrow("out_channels", g.out_channels), groups = narrow("groups", g.groups);
    static_cast<void>(narrow("weight_size", g.weight_size()));
    check(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, type, images, channels, narrow("height", g.height),
                                     narrow("width", g.width)),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, type, images, out_channels,
                                     narrow("out_height", g.out_height()), narrow("out_width", g.out_width())),
          "cudnnSetTensor4dDescriptor");
    check(cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NHWC, out_channels, channels / groups,
                                     narrow("kernel_height", g.kernel_height), narrow("kernel_width", g.kernel_width)),
          "cudnnSetFilter4dDescriptor");
    check(cudnnSetConvolution2dDescriptor(convolution, narrow("padding", g.padding.height),
                                          narrow("padding", g.padding.width), narrow("stride", g.stride.height),
                                          narrow("stride", g.stride.width), narrow("dilation", g.dilation.height),
                                          narrow("dilation", g.dilation.width), CUDNN_CROSS_CORRELATION,
                                          CUDNN_DATA_FLOAT),
          "cudnnSetConvolution2dDescriptor");
    check(cudnnSetConvolutionGroupCount(convolution, groups), "cudnnSetConvolutionGroupCount");
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
                 g.kernel_width, " to ", g.out_channels, " channels, stride ", g.stride, ", padding ", g.padding,
                 g.dense() ? "" : to_text(", dilation ", g.dilation, ", ", g.groups, " groups"));
}

/// A pass over one geometry, ready to run.
template <class Pass>
struct ConvolutionPlan {
  ConvolutionDescriptors descriptors;
  typename Pass::Algorithm algorithm{};
  std::size_t workspace = 0;

  [[nodiscard]] cudnnStatus_t run(const ConvolutionOperands& operands, Scratch scratch, bool accumulate = false) const {
    const float one = 1, kept = accumulate ? 1 : 0;
    return Pass::run(descriptors, operands, algorithm, scratch, &one, &kept);
  }
};

}  // namespace detail
}  // namespace lpw::inline LPW_ABI::cuda
