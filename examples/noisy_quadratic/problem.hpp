// The noisy quadratic problem, and a network that has it as its loss: w_k = theta + phi_k, where theta is a base
// parameter and phi an additive late-phase parameter. docs/noisy_quadratic.md derives what training does to it.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <vector>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/to_size.hpp>

namespace quadratic {

using lpw::Cpu;
using Tensor = lpw::Tensor<double, Cpu>;
using Variable = lpw::Variable<double, Cpu>;

/// L(w) = 1/2 sum_i h_i (w_i + eps_i)^2 with curvatures h_i = 1/i, i = 1..d, and eps_i ~ N(0, noise / h_i), drawn for
/// each minibatch. The minimum is at 0, and every weight starts at `start`.
struct Problem {
  std::int64_t dimensions = 10000;
  double noise = 1, start = 1;

  /// h of a direction, counted from 0. The largest is 1.
  [[nodiscard]] double curvature(std::int64_t direction) const { return 1 / static_cast<double>(direction + 1); }
  [[nodiscard]] double largest_curvature() const { return curvature(0); }
  /// sigma^2 of a direction: variance of eps.
  [[nodiscard]] double noise_variance(std::int64_t direction) const { return noise / curvature(direction); }

  /// 1/2 sum_i h_i w_i^2: the expected loss at w less what no weights can avoid, 1/2 noise d.
  [[nodiscard]] double excess_loss(const double* w) const {
    double sum = 0;
    for (std::int64_t i = 0; i < dimensions; ++i) sum += curvature(i) * w[i] * w[i];
    return sum / 2;
  }
};

/// Each member's loss [K] on a minibatch of its own, eps [K, d], at the weights theta [1, d] + phi [1 or K, d]. The
/// gradient of theta is the sum over the members; phi gets one only where `train_phi`.
[[nodiscard]] inline Variable quadratic_loss(const Problem& problem, const Variable& theta, const Variable& phi,
                                             const Variable& eps, bool train_phi) {
  const Tensor shared = theta.value(), own = phi.value(), noise = eps.value();
  const std::int64_t members = noise.dim(0), d = problem.dimensions;
  lpw::require<lpw::ShapeError>(noise.shape() == lpw::Shape({members, d}) && shared.shape() == lpw::Shape({1, d}) &&
                                    own.dim(1) == d && (own.dim(0) == 1 || own.dim(0) == members),
                                "quadratic_loss: theta ", shared.shape(), ", phi ", own.shape(), ", eps ",
                                noise.shape(), "; expected [1, ", d, "], [1 or K, ", d, "] and [K, ", d, "]");
  Tensor gradient({members, d}), loss({members});
  for (std::int64_t k = 0; k < members; ++k) {
    const double *t = shared.data(), *p = own.row(own.dim(0) == 1 ? 0 : k), *e = noise.row(k);
    double *g = gradient.row(k), sum = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      const double w = t[i] + p[i] + e[i];
      g[i] = problem.curvature(i) * w;
      sum += g[i] * w;
    }
    loss.data()[k] = sum / 2;
  }
  return lpw::record(
      loss,
      [gradient, train_phi, rows = own.dim(0), dtheta = theta.edge(), dphi = phi.edge()](const Tensor& dloss) {
        const auto add = [&](const auto& edge, std::int64_t target_rows) {
          auto [target, accumulate] = edge.sink(gradient.shape().with(0, target_rows));
          if (!accumulate) lpw::fill(target, 0.0);
          for (std::int64_t k = 0; k < gradient.dim(0); ++k) {
            const double *g = gradient.row(k), scale = dloss.data()[k];
            double* to = target.row(target_rows == 1 ? 0 : k);
            for (std::int64_t i = 0; i < gradient.dim(1); ++i) to[i] += scale * g[i];
          }
        };
        add(dtheta, 1);
        if (train_phi) add(dphi, rows);
      },
      theta, phi, eps);
}

/// The network. Before its release phi is 0 and gets no gradient: a plain network of the weights theta. Collapsed, it
/// is a plain one of the weights theta + phi, where phi, the members' mean, stays as it is.
struct Network {
  using value_type = double;
  using device_type = Cpu;

  explicit Network(const Problem& p)
      : problem(p),
        theta(lpw::full<double, Cpu>({1, p.dimensions}, p.start)),
        phi(lpw::zeros<double, Cpu>({1, p.dimensions})) {}

  /// The losses [K] of minibatches [K, d].
  [[nodiscard]] Variable forward(const Variable& eps) {
    return quadratic_loss(problem, theta.on(eps), phi.on(eps), eps, phi.late_phase());
  }
  template <class F>
  void visit(F&& f) {
    f("theta", theta), f("phi", phi);
  }

  Problem problem;
  lpw::nn::Parameter<double, Cpu> theta, phi;
};

/// The weights theta + phi_k of member k.
[[nodiscard]] inline std::vector<double> weights_of(const Network& network, std::int64_t member = 0) {
  const double *theta = network.theta.value().data(), *phi = network.phi.value().row(member);
  std::vector<double> w(lpw::to_size(network.problem.dimensions));
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = theta[i] + phi[i];
  return w;
}

/// The weights that the network collapses into.
[[nodiscard]] inline std::vector<double> collapsed_weights(const Network& network) {
  return weights_of(lpw::collapsed(network));
}

/// Four standard normal numbers made of 128 random bits, by Box and Muller; the tail ends at 6.7. In float: its
/// rounding is far below what a simulation can see.
[[nodiscard]] inline std::array<float, 4> normals(const lpw::Philox::Block& bits) {
  std::array<float, 4> result{};
  for (std::size_t pair = 0; pair < 4; pair += 2) {
    const float radius = std::sqrt(-2 * std::log((static_cast<float>(bits[pair]) + 1) * 0x1p-32f));
    const float angle = 2 * std::numbers::pi_v<float> * (static_cast<float>(bits[pair + 1]) * 0x1p-32f);
    result[pair] = radius * std::cos(angle), result[pair + 1] = radius * std::sin(angle);
  }
  return result;
}

/// The random numbers of a simulation: of repeat r, which is independent of the others.
struct Draws {
  std::uint64_t seed = 0;
  std::int64_t repeat = 0;

  /// Calls f(i, normal number) for i = 0..count-1; other numbers for each stream and step.
  template <class F>
  void each(lpw::Stream stream, std::int64_t step, std::int64_t count, F&& f) const {
    const lpw::Philox random(seed, stream, static_cast<std::uint32_t>(step));
    const std::int64_t first = repeat * (std::int64_t{1} << 32);
    for (std::int64_t i = 0; i < count; i += 4) {
      const auto numbers = normals(random(static_cast<std::uint64_t>(first + i / 4)));
      for (std::int64_t j = i; j < std::min(count, i + 4); ++j) f(j, static_cast<double>(numbers[lpw::to_size(j - i)]));
    }
  }
};

/// eps [K, d] of an iteration that takes the minibatches first, first + 1, ...: each member's is the mean of `batch` of
/// them.
[[nodiscard]] inline Tensor draw_minibatches(const Problem& problem, const Draws& draws, std::int64_t first,
                                             std::int64_t members, std::int64_t batch) {
  auto eps = lpw::zeros<double, Cpu>({members, problem.dimensions});
  for (std::int64_t n = 0; n < members * batch; ++n) {
    double* row = eps.row(n / batch);
    draws.each(lpw::Stream::order, first + n, problem.dimensions,
               [&](std::int64_t i, double normal) { row[i] += normal; });
  }
  for (std::int64_t i = 0; i < problem.dimensions; ++i) {
    const double deviation = std::sqrt(problem.noise_variance(i)) / static_cast<double>(batch);
    for (std::int64_t k = 0; k < members; ++k) eps.row(k)[i] *= deviation;
  }
  return eps;
}

}  // namespace quadratic
