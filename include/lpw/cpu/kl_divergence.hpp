// primitives/kl_divergence.hpp on the CPU: a sample's sums in double.
#pragma once

#include <cmath>

#include <lpw/cpu/softmax_loss.hpp>
#include <lpw/primitives/kl_divergence.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// P_c, Q_c and log P_c - log Q_c of one sample.
template <class T>
class DivergenceRow {
 public:
  using W = Accumulate<T>;

  DivergenceRow(const T* p, const T* q, const W* statistics)
      : p_(p),
        q_(q),
        largest_p_(statistics[0]),
        largest_q_(statistics[2]),
        inverse_p_(1 / statistics[1]),
        inverse_q_(1 / statistics[3]),
        offset_(std::log(double(statistics[3])) - std::log(double(statistics[1]))) {}

  [[nodiscard]] W first(std::int64_t c) const { return exp_of_negative(W(p_[c]) - largest_p_) * inverse_p_; }
  [[nodiscard]] W second(std::int64_t c) const { return exp_of_negative(W(q_[c]) - largest_q_) * inverse_q_; }
  [[nodiscard]] double log_ratio(std::int64_t c) const {
    return double(W(p_[c]) - largest_p_) - double(W(q_[c]) - largest_q_) + offset_;
  }

 private:
  const T *p_, *q_;
  W largest_p_, largest_q_, inverse_p_, inverse_q_;
  double offset_;
};

}  // namespace detail

template <class T>
[[nodiscard]] KlDivergence<Accumulate<T>, Cpu> kl_divergence_forward(const Tensor<T, Cpu>& p, const Tensor<T, Cpu>& q) {
  using W = Accumulate<T>;
  const std::int64_t members = p.dim(0), batch = p.dim(1), classes = p.dim(2);
  KlDivergence<W, Cpu> result{Tensor<W, Cpu>({members, batch}), Tensor<W, Cpu>({members, batch, 4})};
  parallel_for(members * batch, 32 * classes, [&](std::int64_t i) {
    const T *first = p.data() + i * classes, *second = q.data() + i * classes;
    const detail::SoftmaxRow<W> of_p(first, classes), of_q(second, classes);
    W* statistics = result.statistics.data() + 4 * i;
    statistics[0] = of_p.largest;
    statistics[1] = static_cast<W>(of_p.total);
    statistics[2] = of_q.largest;
    statistics[3] = static_cast<W>(of_q.total);
    const detail::DivergenceRow<T> row(first, second, statistics);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c)
      if (const W at = row.first(c); at != 0) sum += double(at) * row.log_ratio(c);
    result.losses.data()[i] = static_cast<W>(sum);
  });
  return result;
}

template <class T>
void kl_divergence_backward(const Tensor<T, Cpu>& p, const Tensor<T, Cpu>& q,
                            const KlDivergence<Accumulate<T>, Cpu>& forward, const Tensor<Accumulate<T>, Cpu>& dlosses,
                            Gradient<T, Cpu>* dp, Gradient<T, Cpu>* dq) {
  using W = Accumulate<T>;
  const std::int64_t rows = p.dim(0) * p.dim(1), classes = p.dim(2);
  parallel_for(rows, 24 * classes, [&](std::int64_t i) {
    const detail::DivergenceRow<T> row(p.data() + i * classes, q.data() + i * classes,
                                       forward.statistics.data() + 4 * i);
    const W share = dlosses.data()[i];
    const double divergence = double(forward.losses.data()[i]);
    const auto add = [&](Gradient<T, Cpu>& target, std::int64_t c, W value) {
      T& out = target.tensor.data()[i * classes + c];
      store(out, target.accumulate ? W(out) + value : value);
    };
    for (std::int64_t c = 0; c < classes; ++c) {
      const W at = row.first(c);
      if (dp) add(*dp, c, at == 0 || share == 0 ? W(0) : share * at * static_cast<W>(row.log_ratio(c) - divergence));
      if (dq) add(*dq, c, share == 0 ? W(0) : share * (row.second(c) - at));  // of any logits
    }
  });
}

}  // namespace lpw::inline LPW_ABI
