// Gradients of a dense weight with rank-1 factors, W_k = W o (r_k s_k^T), from the products P_k = dy_k^T x_k that for a
// plain weight are its gradient: dW = sum_k r_k s_k^T o P_k, dr_k = (W o P_k) s_k, ds_k = (W o P_k)^T r_k, in one read
// of P. Weights are float for every T.
//
// A block takes some outputs and goes through the members, so that the sum of dW over them is its own. It leaves its
// part of ds, which a second launch adds up in the order of the blocks.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Outputs of a block: their sums for dr are in registers.
inline constexpr int rank_one_outputs = 8;
[[nodiscard]] LPW_HOST_DEVICE constexpr int rank_one_blocks(int outputs) {
  return (outputs + rank_one_outputs - 1) / rank_one_outputs;
}

/// Rows of a parameter or its gradient lie `stride` elements apart; 0: one row, which all members share. Gradients may
/// be null: not wanted.
template <class W>
struct RankOneBackward {
  const W* product;                  // P (member, output, input)
  const W *weight, *output, *input;  // W (member, output, input), r (member, output), s (member, input)
  W *dweight, *doutput;              // like weight and output
  W* partial;                        // (block, member, input): each block's part of ds; null: not wanted
  std::int64_t weight_stride, output_stride, input_stride, dweight_stride, doutput_stride;
  bool add_to_dweight, add_to_doutput;  // instead of overwriting
  int members, outputs, inputs;
};

namespace detail {

/// Member k's share for the outputs [first, first + count): dW, this block's part of ds; sums of dr into `dr`.
template <class W>
__device__ __forceinline__ void rank_one_member(const RankOneBackward<W>& p, int member, int first, int count,
                                                W (&dr)[rank_one_outputs]) {
  const std::int64_t columns = p.inputs, at_first = first * columns;
  const W* product = p.product + member * p.outputs * columns + at_first;
  const W* weight = p.weight + member * p.weight_stride + at_first;
  const W* input = p.input + member * p.input_stride;
  W* dweight = p.dweight ? p.dweight + member * p.dweight_stride + at_first : nullptr;
  const bool add = p.add_to_dweight || (p.dweight_stride == 0 && member > 0);
  W r[rank_one_outputs];
  LPW_UNROLL
  for (int o = 0; o < rank_one_outputs; ++o) r[o] = o < count ? p.output[member * p.output_stride + first + o] : W(0);
  for (int c = static_cast<int>(threadIdx.x); c < p.inputs; c += element_threads) {
    const W s = input[c];
    W ds = 0;
    LPW_UNROLL
    for (int o = 0; o < rank_one_outputs; ++o) {
      if (o >= count) break;
      const std::int64_t at = o * columns + c;
      const W value = product[at], weighted = value * weight[at];
      ds = fmaf(weighted, r[o], ds);
      dr[o] = fmaf(weighted, s, dr[o]);
      if (dweight) dweight[at] = fmaf(value * s, r[o], add ? dweight[at] : W(0));
    }
    if (p.partial) p.partial[(static_cast<std::int64_t>(blockIdx.x) * p.members + member) * columns + c] = ds;
  }
}

/// Sums over the block of all dr, in the threads below rank_one_outputs. `scratch`: rank_one_outputs floats for each
/// warp, free on return.
template <class W>
[[nodiscard]] __device__ __forceinline__ W sum_of_outputs(const W (&dr)[rank_one_outputs], W* scratch) {
  LPW_UNROLL
  for (int o = 0; o < rank_one_outputs; ++o) {
    const W sum = warp_sum(dr[o]);
    if (lane_index() == 0) scratch[warp_index() * rank_one_outputs + o] = sum;
  }
  __syncthreads();
  W total = 0;
  if (threadIdx.x < rank_one_outputs)
    for (int warp = 0; warp < warp_count(); ++warp) total += scratch[warp * rank_one_outputs + threadIdx.x];
  __syncthreads();
  return total;
}

}  // namespace detail

/// dW and dr, and the parts of ds. A grid of rank_one_blocks(outputs). Shared memory: rank_one_outputs element_threads
/// / 32 floats.
template <class W>
__global__ void __launch_bounds__(element_threads, element_blocks) rank_one_backward(const RankOneBackward<W> p) {
  SharedMemory memory;
  W* scratch = memory.take<W>(rank_one_outputs * warp_count());
  const int first = static_cast<int>(blockIdx.x) * rank_one_outputs, left = p.outputs - first;
  const int count = left < rank_one_outputs ? left : rank_one_outputs, thread = static_cast<int>(threadIdx.x);
  W total = 0;
  for (int member = 0; member < p.members; ++member) {
    W dr[rank_one_outputs] = {};
    detail::rank_one_member(p, member, first, count, dr);
    if (!p.doutput) continue;
    total += detail::sum_of_outputs(dr, scratch);
    if (thread >= count || (p.doutput_stride == 0 && member + 1 < p.members)) continue;
    W& to = p.doutput[member * p.doutput_stride + first + thread];
    to = p.add_to_doutput ? to + total : total;
    total = 0;
  }
}

template <class W>
struct RankOneBackwardInput {
  const W* partial;            // (block, member, input)
  W* dinput;                   // (member, input)
  std::int64_t dinput_stride;  // 0: one row, which all members share
  bool add_to_dinput;
  int blocks, members, inputs;
};

/// ds: the sums of the blocks' parts, and over the members if they share it. A block takes 32 inputs of a member
/// (grid.y), and each of its warps every eighth part. Shared memory: element_threads floats.
template <class W>
__global__ void __launch_bounds__(element_threads, element_blocks)
    rank_one_backward_input(const RankOneBackwardInput<W> p) {
  SharedMemory memory;
  W* scratch = memory.take<W>(element_threads);
  const bool shared = p.dinput_stride == 0;
  const int c = static_cast<int>(blockIdx.x) * 32 + lane_index(), rows = shared ? p.blocks * p.members : p.blocks;
  const std::int64_t columns = p.inputs, stride = shared ? columns : p.members * columns;
  for (int member = static_cast<int>(blockIdx.y); member < (shared ? 1 : p.members);
       member += static_cast<int>(gridDim.y)) {
    const W* part = p.partial + member * columns + c;
    W sum = 0;
    sweep<4>(
        c < p.inputs && warp_index() < rows ? (rows - warp_index() + warp_count() - 1) / warp_count() : 0,
        [&](int step) { return part[(warp_index() + step * warp_count()) * stride]; },
        [&](int, W value) { sum += value; });
    scratch[threadIdx.x] = sum;
    __syncthreads();
    if (warp_index() == 0 && c < p.inputs) {
      for (int warp = 1; warp < warp_count(); ++warp) sum += scratch[warp * 32 + lane_index()];
      W& to = p.dinput[member * p.dinput_stride + c];
      to = p.add_to_dinput ? to + sum : sum;
    }
    __syncthreads();
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
