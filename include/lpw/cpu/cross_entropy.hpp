// primitives/cross_entropy.hpp on the CPU: one read of the logits gives the loss and the probabilities that backward
// needs.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/primitives/cross_entropy.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Softmax of one row of logits into p; returns the row's loss. The exponentials are taken relative to the largest
/// logit.
template <class T, class W>
[[nodiscard]] double cross_entropy_row(const T* row, std::int64_t classes, std::int32_t label, double smoothing, W* p) {
  W largest = W(row[0]);
#pragma omp simd reduction(max : largest)
  for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, W(row[c]));
  double total = 0, shifted = 0;
#pragma omp simd reduction(+ : total, shifted)
  for (std::int64_t c = 0; c < classes; ++c) {
    p[c] = exp_of_negative(W(row[c]) - largest);
    total += double(p[c]);
    shifted += double(W(row[c]) - largest);
  }
  const W inverse = static_cast<W>(1 / total);
#pragma omp simd
  for (std::int64_t c = 0; c < classes; ++c) p[c] *= inverse;
  const double target = double(W(row[label]) - largest), loss = std::log(total) - (1 - smoothing) * target;
  // 0 times a masked class' -infinity would be NaN.
  return smoothing > 0 ? loss - smoothing / static_cast<double>(classes) * shifted : loss;
}

}  // namespace detail

/// Each row's loss in double; those of a member are added in order.
template <class T>
[[nodiscard]] CrossEntropy<T, Cpu> cross_entropy_forward(const Tensor<T, Cpu>& logits,
                                                         const Tensor<std::int32_t, Cpu>& labels, double smoothing) {
  using W = Accumulate<T>;
  const std::int64_t members = logits.dim(0), batch = logits.dim(1), classes = logits.dim(2);
  for (std::int64_t i = 0; i < members * batch; ++i)
    require(labels.data()[i] >= 0 && labels.data()[i] < classes, "cross_entropy: label ", labels.data()[i],
            " of member ", i / batch, ", sample ", i % batch, " is outside [0, ", classes, ")");
  CrossEntropy<T, Cpu> result{Tensor<W, Cpu>({members}), Tensor<W, Cpu>(logits.shape())};
  Tensor<double, Cpu> losses({members, batch});
  parallel_for(members * batch, 16 * classes, [&](std::int64_t i) {
    losses.data()[i] = detail::cross_entropy_row(logits.data() + i * classes, classes, labels.data()[i], smoothing,
                                                 result.probabilities.data() + i * classes);
  });
  for (std::int64_t k = 0; k < members; ++k)
    result.loss.data()[k] =
        static_cast<W>(std::accumulate(losses.row(k), losses.row(k) + batch, 0.0) / static_cast<double>(batch));
  return result;
}

template <class T>
void cross_entropy_backward(const Tensor<Accumulate<T>, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels,
                            double smoothing, const Tensor<Accumulate<T>, Cpu>& dloss, Gradient<T, Cpu>& dlogits) {
  using W = Accumulate<T>;
  const std::int64_t members = probabilities.dim(0), batch = probabilities.dim(1), classes = probabilities.dim(2);
  const W floor = static_cast<W>(smoothing / static_cast<double>(classes)), peak = static_cast<W>(1 - smoothing);
  parallel_for(members * batch, 2 * classes, [&](std::int64_t row) {
    const W share = dloss.data()[row / batch] / static_cast<W>(batch);
    const std::int64_t label = labels.data()[row];
    const W* p = probabilities.data() + row * classes;
    T* out = dlogits.tensor.data() + row * classes;
#pragma omp simd
    for (std::int64_t c = 0; c < classes; ++c) {
      const W target = floor + (c == label ? peak : W(0)), value = (p[c] - target) * share;
      store(out[c], dlogits.accumulate ? W(out[c]) + value : value);
    }
  });
}

template <class T>
[[nodiscard]] Tensor<std::int32_t, Cpu> count_correct(const Tensor<T, Cpu>& logits,
                                                      const Tensor<std::int32_t, Cpu>& labels) {
  const std::int64_t batch = logits.dim(1), classes = logits.dim(2);
  std::int32_t correct = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const T* row = logits.row(i / batch) + i % batch * classes;
    correct += std::max_element(row, row + classes) - row == labels.row(i / batch)[i % batch];
  }
  return full<std::int32_t, Cpu>({1}, correct);
}

}  // namespace lpw::inline LPW_ABI
