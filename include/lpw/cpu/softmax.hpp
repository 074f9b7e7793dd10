// Softmax for evaluation, on the host.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// softmax of every row of logits [B, classes], in double: exp(z_c - max z) / sum. Throws ShapeError, and NonFinite for
/// a row that holds NaN, +infinity, or -infinity alone.
template <Real T>
[[nodiscard]] Tensor<double, Cpu> softmax_rows(const Tensor<T, Cpu>& logits) {
  require<ShapeError>(logits.shape().rank() == 2 && logits.dim(1) > 0,
                      "softmax_rows: expected logits [B, classes], found ", logits.shape());
  const std::int64_t rows = logits.dim(0), classes = logits.dim(1);
  Tensor<double, Cpu> result(logits.shape());
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* in = logits.row(i);
    double* out = result.row(i);
    std::copy_n(in, classes, out);
    const double largest = *std::max_element(out, out + classes);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += out[c] = std::exp(out[c] - largest);
    require<NonFinite>(is_finite(sum), "softmax_rows: the logits of row ", i, " are not finite");
    for (std::int64_t c = 0; c < classes; ++c) out[c] /= sum;
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI
