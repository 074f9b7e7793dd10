// Coefficients of the members' average, fitted on held-out data (training weight averaging: Li et al. 2023, "Trainable
// weight averaging"): the loss of the network with late-phase weights sum_k a_k phi_k is minimised over a, sum_k a_k =
// 1, by gradient descent from equal ones. Its gradient is the network's, by the tape, projected on the members: dL/da_k
// = <dL/dphi, phi_k>, of which the mean over k is taken off, since the sum stays 1. That is the gradient by the
// coefficients of the deviations phi_k - mean phi. A step is halved until it lowers the loss (Armijo), so that no rate
// has to be chosen and what is fitted is no worse on the held-out data than the mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <lpw/late_phase/mixed_members.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// How coefficients of members are fitted to held-out samples.
struct FitOptions {
  std::int64_t steps = 20;  // most steps of gradient descent
  bool convex = false;      // no coefficient below 0
};

/// The loss at some coefficients, and its gradient by them, whose sum is 0.
struct MixedLoss {
  double loss = 0;                    // mean over all samples
  std::vector<double> gradient = {};  // by each member's coefficient
};

/// What was fitted: a coefficient for each member, and the losses on the way.
struct FittedCoefficients {
  std::vector<double> coefficients;  // [K]
  std::vector<double> losses;        // of equal ones, and after each step
};

namespace detail {

/// <gradient [1, P], rows_k> for every row of [K, P], in double.
template <class W>
[[nodiscard]] std::vector<double> projections(const Tensor<W, Cpu>& gradient, const Tensor<W, Cpu>& rows) {
  std::vector<double> result;
  const std::int64_t columns = rows.shape().size_from(1);
  for (std::int64_t k = 0; k < rows.dim(0); ++k) {
    double sum = 0;
    for (std::int64_t i = 0; i < columns; ++i)
      sum += static_cast<double>(gradient.data()[i]) * static_cast<double>(rows.row(k)[i]);
    result.push_back(sum);
  }
  return result;
}

/// The nearest point with coordinates of at least 0 that sum to 1 (Duchi et al. 2008).
[[nodiscard]] inline std::vector<double> on_simplex(std::vector<double> point) {
  auto sorted = point;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  double sum = 0, shift = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    sum += sorted[i];
    const double candidate = (sum - 1) / static_cast<double>(i + 1);
    if (sorted[i] > candidate) shift = candidate;
  }
  for (double& x : point) x = std::max(x - shift, 0.0);
  return point;
}

}  // namespace detail

/// The mean of minibatches' mean losses [1] over all their samples.
class MeanLoss {
 public:
  /// Throws ShapeError for a loss that is not one number.
  template <class Loss>
  void add(const Loss& loss, std::int64_t samples) {
    require<ShapeError>(loss.shape().size() == 1, "mean loss: the loss is ", loss.shape(),
                        "; expected [1], that of one network: reduce it by mean(loss)");
    sum_ += static_cast<double>(*to_host(loss.value()).data()) * static_cast<double>(samples);
    samples_ += static_cast<double>(samples);
  }
  /// How many there were.
  [[nodiscard]] double samples() const { return samples_; }
  /// The mean; NaN without samples.
  [[nodiscard]] double value() const { return sum_ / samples_; }

 private:
  double sum_ = 0, samples_ = 0;
};

/// Losses of a network's members mixed by coefficients. `for_each_loss(network, record, f)` makes a pass of a network
/// of one member over held-out minibatches, and calls f(tape, loss [1], samples) for each, recorded or not.
template <nn::Visitable M, class ForEachLoss>
class MixtureLoss {
 public:
  /// It refers to the network, whose members are mixed in another one.
  MixtureLoss(M& network, ForEachLoss for_each_loss)
      : network_(network), mixed_(one_member(network)), for_each_loss_(std::move(for_each_loss)) {}

  /// The mean over all samples.
  [[nodiscard]] double loss(const std::vector<double>& coefficients) {
    mix_members_into(network_, coefficients, mixed_);
    MeanLoss mean;
    for_each_loss_(mixed_, false, [&](Tape&, const auto& loss, std::int64_t count) { mean.add(loss, count); });
    return mean.value();
  }
  /// The same with its gradient.
  [[nodiscard]] MixedLoss with_gradient(const std::vector<double>& coefficients) {
    mix_members_into(network_, coefficients, mixed_);
    const auto rows = to_host(nn::flatten(network_)->value.late);
    auto& flat = *nn::flatten(mixed_);
    std::vector<double> gradient(coefficients.size(), 0.0);
    MeanLoss mean_loss;
    for_each_loss_(mixed_, true, [&](Tape& tape, const auto& loss, std::int64_t count) {
      mean_loss.add(loss, count);
      fill(flat.gradient.base, nn::WeightOf<M>(0));
      fill(flat.gradient.late, nn::WeightOf<M>(0));
      tape.backward(loss);
      const auto projected = detail::projections(to_host(flat.gradient.late), rows);
      for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] += projected[k] * static_cast<double>(count);
    });
    double mean = 0;
    for (const double g : gradient) mean += g / static_cast<double>(gradient.size());
    for (double& g : gradient) g = (g - mean) / mean_loss.samples();
    return {mean_loss.value(), gradient};
  }

 private:
  M& network_;
  M mixed_;
  ForEachLoss for_each_loss_;
};

/// Fits the coefficients of a network's members by `options.steps` steps, fewer where the loss cannot be lowered any
/// more. `losses` is a MixtureLoss, or anything with its two functions. Throws OptionError for less than one step,
/// NonFinite where the loss of equal coefficients is not finite.
template <class Losses>
[[nodiscard]] FittedCoefficients fit_coefficients(std::int64_t members, Losses&& losses,
                                                  const FitOptions& options = {}) {
  require<OptionError>(options.steps >= 1, "fit_coefficients: ", options.steps, " steps; expected at least 1");
  constexpr double first_change = 0.5, sufficient = 1e-4;
  constexpr int halvings = 12;
  FittedCoefficients result{.coefficients = equal_coefficients(members), .losses = {}};
  MixedLoss at = losses.with_gradient(result.coefficients);
  require<NonFinite>(is_finite(at.loss), "fit_coefficients: the loss of the members' mean is ", at.loss);
  result.losses.push_back(at.loss);
  double rate = 0;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    double largest = 0;
    for (const double g : at.gradient)
      if (!(std::abs(g) <= largest)) largest = std::abs(g);  // NaN, if there is one
    if (!is_finite(largest) || largest == 0) break;
    rate = step == 0 ? first_change / largest : 2 * rate;
    bool lower = false;
    for (int i = 0; i < halvings && !lower; ++i, rate = lower ? rate : rate / 2) {
      auto next = result.coefficients;
      for (std::size_t k = 0; k < next.size(); ++k) next[k] -= rate * at.gradient[k];
      if (options.convex) next = detail::on_simplex(std::move(next));
      double descent = 0;
      for (std::size_t k = 0; k < next.size(); ++k) descent += at.gradient[k] * (result.coefficients[k] - next[k]);
      lower = descent > 0 && losses.loss(next) <= at.loss - sufficient * descent;
      if (lower) result.coefficients = std::move(next);
    }
    if (!lower) break;
    at = losses.with_gradient(result.coefficients);
    result.losses.push_back(at.loss);
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI
