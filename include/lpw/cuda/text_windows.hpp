// Windows of texts that lie on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/text_windows.cuh>

namespace lpw::inline LPW_ABI::cuda {

/// As lpw::data::TextSource::read.
inline void read_windows(const kernels::TextWindows<std::int32_t>& p) {
  launch(kernels::text_windows<std::int32_t>, element_plan(p.members * p.steps * p.batch), p);
}

}  // namespace lpw::inline LPW_ABI::cuda
