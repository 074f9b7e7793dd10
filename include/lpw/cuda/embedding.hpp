// primitives/embedding.hpp on the GPU. For the gradient the places are sorted by index, so that no atomics are needed
// and the bits are the same every time.
#pragma once

#include <utility>

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/embedding.cuh>
#include <lpw/primitives/embedding.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// Indices [K, B...] into a weight [1 or K, V, E]: one table that all members share, or one for each. Throws ShapeError
/// past 2^30 of any.
[[nodiscard]] inline kernels::TableIndices table_indices(const Tensor<std::int32_t, Cuda>& indices,
                                                         const Shape& weight) {
  require_countable("embedding", "indices", indices.size());
  require_countable("embedding", "rows of all tables", weight[0] * weight[1]);
  require_countable("embedding", "features", weight[2]);
  return {indices.data(), static_cast<int>(weight[0]), static_cast<int>(indices.size() / weight[0]),
          static_cast<int>(weight[1])};
}

/// All places in the order of their indices, those of one index in their own.
[[nodiscard]] inline Tensor<std::int32_t, Cuda> sorted_places(const kernels::TableIndices& table) {
  Tensor<std::int32_t, Cuda> from({table.size()}), to(from.shape()),
      counts({kernels::sort_chunks(table.size()), kernels::sort_chunk});
  LaunchPlan chunks = element_plan(table.size()), one_block;
  chunks.shared_bytes = one_block.shared_bytes = kernels::shared_bytes<int>(kernels::sort_chunk);
  for (int pass = 0; pass < table.passes(); ++pass) {
    const kernels::SortPass p{table, pass > 0 ? from.data() : nullptr, to.data(), counts.data(), pass};
    launch(kernels::count_digits<kernels::SortPass>, chunks, p);
    launch(kernels::scan_digits<kernels::SortPass>, one_block, p);
    launch(kernels::scatter_places<kernels::SortPass>, chunks, p);
    std::swap(from, to);
  }
  return from;
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 indices, rows or features.
template <class T>
[[nodiscard]] Tensor<T, Cuda> embedding_forward(const Tensor<std::int32_t, Cuda>& indices,
                                                const Tensor<float, Cuda>& weight) {
  Shape shape = indices.shape();
  shape.append(weight.dim(2));
  Tensor<T, Cuda> y(shape);
  const kernels::Embedding<T> p{.table = cuda::detail::table_indices(indices, weight.shape()),
                                .weight = weight.data(),
                                .weight_stride = weight.row_stride(),
                                .y = y.data(),
                                .features = static_cast<int>(weight.dim(2)),
                                .bad_index = nullptr};
  const int width = vector_width<T>(p.features, {p.y});
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::embedding<T, n()>, cuda::element_plan(y.size() / width), p); });
  return y;
}

/// Throws as above.
template <class T>
void embedding_backward(const Tensor<std::int32_t, Cuda>& indices, const Tensor<T, Cuda>& dy,
                        Gradient<float, Cuda>& dweight) {
  if (!dweight.accumulate) fill(dweight.tensor, 0.f);
  const auto table = cuda::detail::table_indices(indices, dweight.tensor.shape());
  const auto sorted = cuda::detail::sorted_places(table);
  const kernels::EmbeddingBackward<T> p{.table = table,
                                        .sorted = sorted.data(),
                                        .dy = dy.data(),
                                        .dweight = dweight.tensor.data(),
                                        .dweight_stride = dweight.tensor.row_stride(),
                                        .features = static_cast<int>(dweight.tensor.dim(2))};
  const int width = vector_width<T>(p.features, {p.dy});
  // A block for each 32 places and 32 vectors of features.
  auto plan = cuda::element_plan(detail::blocks_for(table.size(), 32) * LaunchPlan::block,
                                 detail::blocks_for(p.features, 32 * width));
  plan.shared_bytes =
      kernels::shared_bytes<float>(LaunchPlan::block * width) + kernels::shared_bytes<int>(LaunchPlan::block / 32);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::embedding_backward<T, n()>, plan, p); });
}

}  // namespace lpw::inline LPW_ABI
