// Windows of texts that lie on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/text_windows.cuh>

namespace lpw::inline LPW_ABI::cuda {

/// inputs [K, T, B] = the bytes `first` to first + T of K B streams of stream_bytes each, one after another; targets =
/// those that follow.
inline void read_windows(const std::uint8_t* text, std::int64_t stream_bytes, std::int64_t first,
                         Tensor<std::int32_t, Cuda>& inputs, Tensor<std::int32_t, Cuda>& targets) {
  const kernels::TextWindows<std::int32_t> p{.text = text,
                                             .inputs = inputs.data(),
                                             .targets = targets.data(),
                                             .stream_bytes = stream_bytes,
                                             .first = first,
                                             .members = inputs.dim(0),
                                             .steps = inputs.dim(1),
                                             .batch = inputs.dim(2)};
  launch(kernels::text_windows<std::int32_t>, element_plan(inputs.size()), p);
}

}  // namespace lpw::inline LPW_ABI::cuda
