// The gradients of a dense weight with rank-1 factors on the GPU: primitives/linear.hpp.
#pragma once

#include <algorithm>

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/rank_one_backward.cuh>
#include <lpw/primitives/linear.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// ds from the blocks' parts of it, [blocks, K, C].
inline void rank_one_input(const Tensor<float, Cuda>& partial, Gradient<float, Cuda>& dinput) {
  const kernels::RankOneBackwardInput<float> p{.partial = partial.data(),
                                               .dinput = dinput.tensor.data(),
                                               .dinput_stride = member_stride(dinput.tensor, partial.dim(1)),
                                               .add_to_dinput = dinput.accumulate,
                                               .blocks = static_cast<int>(partial.dim(0)),
                                               .members = static_cast<int>(partial.dim(1)),
                                               .inputs = static_cast<int>(partial.dim(2))};
  const std::int64_t rows =
      std::min<std::int64_t>(dinput.tensor.dim(0), 65535);  // the kernel loops over members, but not over inputs
  LaunchPlan plan{static_cast<unsigned>(lpw::detail::blocks_for(p.inputs, 32)), static_cast<unsigned>(rows)};
  plan.shared_bytes = kernels::shared_bytes<float>(LaunchPlan::block);
  launch(kernels::rank_one_backward_input<float>, plan, p);
}

}  // namespace cuda::detail

/// One launch for all but ds, of which each block leaves a part that a second adds up. Throws ShapeError past 2^30
/// members or elements of a weight.
inline void rank_one_backward(const Tensor<float, Cuda>& product, const Tensor<float, Cuda>& weight,
                              const Tensor<float, Cuda>& output, const Tensor<float, Cuda>& input,
                              Gradient<float, Cuda>& dweight, Gradient<float, Cuda>& doutput,
                              Gradient<float, Cuda>& dinput) {
  const std::int64_t members = product.dim(0), outputs = product.dim(1), inputs = product.dim(2);
  cuda::require_countable("rank_one", "members", members);
  cuda::require_countable("rank_one", "elements of a weight", outputs * inputs);
  const int blocks = kernels::rank_one_blocks(static_cast<int>(outputs));
  Tensor<float, Cuda> partial;
  if (!dinput.tensor.empty()) partial = Tensor<float, Cuda>({blocks, members, inputs});
  const auto stride = [&](const Tensor<float, Cuda>& parameter) { return cuda::member_stride(parameter, members); };
  const kernels::RankOneBackward<float> p{.product = product.data(),
                                          .weight = weight.data(),
                                          .output = output.data(),
                                          .input = input.data(),
                                          .dweight = dweight.tensor.data(),
                                          .doutput = doutput.tensor.data(),
                                          .partial = partial.data(),
                                          .weight_stride = stride(weight),
                                          .output_stride = stride(output),
                                          .input_stride = stride(input),
                                          .dweight_stride = stride(dweight.tensor),
                                          .doutput_stride = stride(doutput.tensor),
                                          .add_to_dweight = dweight.accumulate,
                                          .add_to_doutput = doutput.accumulate,
                                          .members = static_cast<int>(members),
                                          .outputs = static_cast<int>(outputs),
                                          .inputs = static_cast<int>(inputs)};
  LaunchPlan plan{static_cast<unsigned>(blocks)};
  plan.shared_bytes = kernels::shared_bytes<float>(kernels::rank_one_outputs * LaunchPlan::block / 32);
  cuda::launch(kernels::rank_one_backward<float>, plan, p);
  if (!dinput.tensor.empty()) cuda::detail::rank_one_input(partial, dinput);
}

}  // namespace lpw::inline LPW_ABI
