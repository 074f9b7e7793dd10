// The choice of a convolution's algorithm on the CPU, the same for its three passes.
#pragma once

#include <lpw/cpu/convolution/pointwise.hpp>
#include <lpw/cpu/products.hpp>
#include <lpw/cpu/winograd/convolution.hpp>

namespace lpw::inline LPW_ABI {

/// `winograd`: lpw's own for 3x3 kernels. `products`: 1x1 kernels as matrix products of pixels. `direct`: all others,
/// by oneDNN's direct algorithm or as products of gathered patches (convolution/direct.hpp).
enum class ConvolutionAlgorithm { winograd, products, direct };

namespace detail {

/// Element types that Winograd's algorithm is compiled for.
template <class T>
inline constexpr bool has_winograd = std::is_same_v<Accumulate<T>, float>;

}  // namespace detail

/// How members with `batch` images of T each are convolved, by rules on the shape, so that runs repeat. Products of
/// pixels are oneDNN's alone, since Eigen's leave most of a weight's gradient to one thread. Winograd's algorithm sums
/// in float: bfloat16 that is multiplied as it is goes faster directly.
template <class T>
[[nodiscard]] ConvolutionAlgorithm choose_convolution(const Conv2dGeometry& g, std::int64_t batch) {
  const bool by_onednn = LPW_WITH_ONEDNN != 0 && !std::is_same_v<T, double> && cpu_engine() == CpuEngine::onednn;
  if (by_onednn && pointwise::supports(g)) return ConvolutionAlgorithm::products;
  const bool as_it_is = std::is_same_v<T, bfloat16> && multiplies_bfloat16();
  if (detail::has_winograd<T> && !as_it_is && convolution() == Convolution::winograd && winograd::pays(g, batch))
    return ConvolutionAlgorithm::winograd;
  return ConvolutionAlgorithm::direct;
}

}  // namespace lpw::inline LPW_ABI
