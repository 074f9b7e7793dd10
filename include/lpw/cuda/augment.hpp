// Minibatches of augmented, normalised images, made on the GPU from stored bytes.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/augment.cuh>

namespace lpw::inline LPW_ABI::cuda {

/// Makes p.samples samples, on a stream of the caller's choice: minibatches are made while others are trained on.
template <class T>
void augment(const kernels::Augment<T>& p, cudaStream_t on) {
  const std::int64_t size = std::int64_t{p.height} * p.width * p.channels;
  const int width = vector_width<T>(size, {p.out});
  const auto plan = element_plan(size / width, p.samples);
  with_width<T>(width, [&](auto n) { launch(kernels::augment<T, n()>, plan, p, on); });
}

}  // namespace lpw::inline LPW_ABI::cuda
