// Latest weight averaging (LAWA, Kaddour 2022): the mean of the last N weights, all of which are kept.
#pragma once

#include <algorithm>

#include <lpw/optim/averages/average.hpp>

namespace lpw::inline LPW_ABI::optim {

/// How many weights a mean of the latest (LAWA) takes.
struct LatestOptions {
  std::int64_t count = 5;  // N; as many times the network's weights are kept
};

/// Throws OptionError unless at least one is to be kept.
inline void validate(const LatestOptions& o) {
  require<OptionError>(o.count >= 1, "LatestAverage: count ", o.count, "; expected at least 1");
}

/// A ring of N weights. The mean is summed anew whenever it is asked for: a running sum, from which the oldest is
/// subtracted, would gather rounding errors for as long as training lasts.
template <class W, class D>
class LatestAverage final : public Average<W, D> {
  using Base = Average<W, D>;

 public:
  /// Throws OptionError as validate() does.
  template <nn::Visitable M>
  explicit LatestAverage(M& network, const LatestOptions& options = {})
      : Base("LatestAverage", network, checked(options).count) {}
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  explicit LatestAverage(M&, const LatestOptions& = {})
      : LatestAverage(nn::detail::not_a_module<M>().template as<LatestAverage>()) {}

  /// N.
  [[nodiscard]] std::int64_t count() const { return this->slots(); }

  /// Of as many as there have been while these are less than N. Before the first, of zeros.
  [[nodiscard]] typename Base::Pair average() const override {
    const auto mean = [&](const Tensor<W, D>& kept, const Shape& shape) {
      const std::int64_t filled = std::clamp<std::int64_t>(this->updates(), 1, count());
      return kept.size() == 0 ? zeros<W, D>(shape) : mean_rows(kept.rows(0, filled)).reshaped(shape);
    };
    const auto& form = this->weights().value;
    return {mean(this->kept().base, form.base.shape()), mean(this->kept().late, form.late.shape())};
  }

 private:
  void take(const typename Base::Pair& weights) override {
    Base::put(weights, this->slot((this->updates() - 1) % count()));
  }

  static const LatestOptions& checked(const LatestOptions& o) {
    validate(o);
    return o;
  }
};

template <nn::Visitable M>
LatestAverage(M&, const LatestOptions&) -> LatestAverage<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
LatestAverage(M&) -> LatestAverage<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
LatestAverage(M&, const LatestOptions& = {}) -> LatestAverage<float, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
