// primitives/softmax_loss.hpp on the CPU. Exponentials are taken relative to the largest logit and a sample's sums in
// double, as in cross_entropy.hpp; backward takes the exponentials again, from the logits, so that no probabilities are
// kept.
#pragma once

#include <algorithm>
#include <cmath>

#include <lpw/cpu/base/loss_weights.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/primitives/softmax_loss.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The largest logit of a row, and the sum of the exponentials relative to it.
template <class W>
struct SoftmaxRow {
  W largest;
  double total = 0;

  template <class T>
  SoftmaxRow(const T* row, std::int64_t classes) : largest(row[0]) {
    W most = W(row[0]);
#pragma omp simd reduction(max : most)
    for (std::int64_t c = 1; c < classes; ++c) most = std::max(most, W(row[c]));
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t c = 0; c < classes; ++c) sum += double(exp_of_negative(W(row[c]) - most));
    largest = most;
    total = sum;
  }
};

/// a_c of one sample.
template <class T>
class TargetRow {
 public:
  using W = Accumulate<T>;

  TargetRow(const SoftmaxTargets<T, Cpu>& targets, std::int64_t sample, std::int64_t classes)
      : probabilities_(targets.probabilities.empty() ? nullptr : targets.probabilities.data() + sample * classes),
        class_weights_(targets.class_weights.empty() ? nullptr : targets.class_weights.data()),
        label_(probabilities_ ? -1 : targets.labels.data()[sample]),
        ignored_(!probabilities_ && targets.ignored == targets.labels.data()[sample]),
        peak_(static_cast<W>(1 - targets.smoothing)),
        floor_(static_cast<W>(targets.smoothing / static_cast<double>(classes))) {}

  [[nodiscard]] bool ignored() const { return ignored_; }
  [[nodiscard]] W operator[](std::int64_t c) const {
    const W target = probabilities_ ? W(probabilities_[c]) : W(c == label_ ? 1 : 0);
    return (peak_ * target + floor_) * (class_weights_ ? class_weights_[c] : W(1));
  }
  /// What the sample weighs in its member's mean.
  [[nodiscard]] W weight() const { return ignored_ ? W(0) : class_weights_ ? class_weights_[label_] : W(1); }

 private:
  const T* probabilities_;
  const W* class_weights_;
  std::int64_t label_;
  bool ignored_;
  W peak_, floor_;
};

template <class T>
void require_classes(const SoftmaxTargets<T, Cpu>& targets, std::int64_t classes) {
  const auto& labels = targets.labels;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const std::int32_t label = labels.data()[i];
    require((label >= 0 && label < classes) || targets.ignored == label, "cross_entropy: label ", label, " of member ",
            i / labels.dim(1), ", sample ", i % labels.dim(1), " is outside [0, ", classes, ")");
  }
}

/// The loss of a sample that is not ignored, and sum(a). A class of target 0 may have any logit: 0 times -infinity
/// would be NaN.
template <class T, class W>
[[nodiscard]] double softmax_loss_row(const T* row, std::int64_t classes, const TargetRow<T>& target,
                                      const SoftmaxRow<W>& softmax, double& mass) {
  double sum = 0;
  mass = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const W a = target[c];
    mass += double(a);
    if (a != 0) sum += double(a) * double(W(row[c]) - softmax.largest);
  }
  return mass * std::log(softmax.total) - sum;
}

}  // namespace detail

template <class T>
[[nodiscard]] SoftmaxLoss<Accumulate<T>, Cpu> softmax_loss_forward(const Tensor<T, Cpu>& logits,
                                                                   const SoftmaxTargets<T, Cpu>& targets) {
  using W = Accumulate<T>;
  const std::int64_t members = logits.dim(0), batch = logits.dim(1), classes = logits.dim(2);
  detail::require_classes(targets, classes);
  detail::require_loss_weights("cross_entropy: class weight", targets.class_weights);
  SoftmaxLoss<W, Cpu> result{Tensor<W, Cpu>({members, batch}), {}, Tensor<W, Cpu>({members, batch, 3})};
  if (targets.probabilities.empty() && (targets.ignored || !targets.class_weights.empty()))
    result.weights = Tensor<W, Cpu>({members, batch});
  parallel_for(members * batch, 24 * classes, [&](std::int64_t i) {
    const T* row = logits.data() + i * classes;
    const detail::TargetRow<T> target(targets, i, classes);
    const detail::SoftmaxRow<W> softmax(row, classes);
    double mass = 0, loss = 0;
    if (!target.ignored()) loss = detail::softmax_loss_row(row, classes, target, softmax, mass);
    result.losses.data()[i] = static_cast<W>(loss);
    if (!result.weights.empty()) result.weights.data()[i] = target.weight();
    W* statistics = result.statistics.data() + 3 * i;
    statistics[0] = softmax.largest;
    statistics[1] = static_cast<W>(1 / softmax.total);
    statistics[2] = static_cast<W>(mass);
  });
  return result;
}

template <class T>
void softmax_loss_backward(const Tensor<T, Cpu>& logits, const SoftmaxTargets<T, Cpu>& targets,
                           const Tensor<Accumulate<T>, Cpu>& statistics, const Tensor<Accumulate<T>, Cpu>& dlosses,
                           Gradient<T, Cpu>& dlogits) {
  using W = Accumulate<T>;
  const std::int64_t rows = logits.dim(0) * logits.dim(1), classes = logits.dim(2);
  parallel_for(rows, 12 * classes, [&](std::int64_t i) {
    const detail::TargetRow<T> target(targets, i, classes);
    const W *of = statistics.data() + 3 * i, largest = of[0], factor = of[1] * of[2];
    const W share = target.ignored() ? W(0) : dlosses.data()[i];
    const T* row = logits.data() + i * classes;
    T* out = dlogits.tensor.data() + i * classes;
    for (std::int64_t c = 0; c < classes; ++c) {
      const W value =
          share == 0 ? W(0) : share * (exp_of_negative(W(row[c]) - largest) * factor - target[c]);  // of any logits
      store(out[c], dlogits.accumulate ? W(out[c]) + value : value);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
