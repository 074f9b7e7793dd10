// One network of K members: its late-phase weights are sum_k a_k phi_k, with coefficients that sum to 1. Equal ones
// give what Collapse::parameters does, a 1 among zeros a member; greedy.hpp and fitted.hpp choose others.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <lpw/late_phase/collapse.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// sum_k a_k rows_k, [K, P] -> [1, P], added up in double; where one coefficient is 1 and all others are 0, that row's
/// bits.
template <class W, class D>
[[nodiscard]] Tensor<W, D> mixed_rows(const Tensor<W, D>& rows, std::span<const double> coefficients) {
  const auto host = to_host(rows);
  const std::int64_t columns = host.shape().size_from(1);
  std::vector<double> sums(to_size(columns), 0.0);
  for (std::int64_t k = 0; k < host.dim(0); ++k) {
    const double a = coefficients[to_size(k)];
    if (a == 0) continue;
    const W* row = host.row(k);
    for (std::int64_t i = 0; i < columns; ++i) sums[to_size(i)] += a * static_cast<double>(row[i]);
  }
  Tensor<W, Cpu> result(host.shape().with(0, 1));
  for (std::int64_t i = 0; i < columns; ++i) result.data()[i] = static_cast<W>(sums[to_size(i)]);
  return to_device<D>(result);
}

}  // namespace detail

/// 1/K for each of K members.
[[nodiscard]] inline std::vector<double> equal_coefficients(std::int64_t members) {
  return std::vector<double>(to_size(members), 1.0 / static_cast<double>(members));
}
/// 1 for one of K members, 0 for the others.
[[nodiscard]] inline std::vector<double> one_of_members(std::int64_t members, std::int64_t member) {
  std::vector<double> result(to_size(members), 0.0);
  result[to_size(member)] = 1;
  return result;
}

/// Puts the mixture of a network's members into another network, of one member, as one_member makes it.
template <nn::Visitable M>
void mix_members_into(M& network, std::span<const double> coefficients, M& mixed) {
  const auto from = nn::flatten(network), to = nn::flatten(mixed);
  nn::require_all_members(from->share, "mix_members");
  require<ShapeError>(std::ssize(coefficients) == from->members, "mix_members: ", coefficients.size(),
                      " coefficients for a network of ", from->members, " members");
  double sum = 0;
  for (const double a : coefficients) sum += a;
  require<OptionError>(std::abs(sum - 1) <= 1e-9, "mix_members: the coefficients sum to ", sum, "; expected 1");
  copy(from->value.base, to->value.base);
  copy(detail::mixed_rows(from->value.late, coefficients), to->value.late);
  copy(detail::mixed_rows(from->buffers, coefficients), to->buffers);
  nn::set_statistics_stale(mixed, true);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto mix_members_into(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// A copy of a network with one member of K: late-phase weights, forms and deviations are of one row.
template <nn::Visitable M>
[[nodiscard]] M one_member(const M& network) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  M copy = nn::clone_module(network);
  nn::for_each_parameter(copy, [](const std::string&, nn::Parameter<W, D>& parameter) {
    if (parameter.value().dim(0) == 1) return;
    auto row = clone(parameter.value().rows(0, 1));
    parameter.bind(row, zeros<W, D>(row.shape()), nullptr);
  });
  nn::for_each_buffer(copy, [](const std::string&, nn::Buffer<W, D>& buffer) {
    if (buffer.value().dim(0) > 1) buffer.bind(clone(buffer.value().rows(0, 1)));
  });
  nn::lay_out(copy, 1);
  return copy;
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto one_member(const M&) {
  return nn::detail::not_a_module<M>();
}

/// The plain network whose late-phase weights are sum_k a_k phi_k; the given one is left as it is. Its running
/// statistics are stale: gather them anew (recompute_statistics). Throws ShapeError unless there is a coefficient for
/// each member, OptionError unless they sum to 1.
template <nn::Visitable M>
[[nodiscard]] M mixed_members(M& network, std::span<const double> coefficients) {
  M result = one_member(network);
  mix_members_into(network, coefficients, result);
  collapse(result, Collapse::parameters);
  nn::set_statistics_stale(result, true);
  return result;
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto mixed_members(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
