// Windows that convolutions and poolings move over images.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// floor((in + 2 padding - kernel) / stride) + 1, the output extent of a convolution or pooling along one axis.
[[nodiscard]] constexpr std::int64_t window_count(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                                                  std::int64_t padding) {
  return (in + 2 * padding - kernel) / stride + 1;
}

}  // namespace lpw::inline LPW_ABI
