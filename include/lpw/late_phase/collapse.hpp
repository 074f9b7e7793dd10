// Collapse: from K members back to one plain network, by averaging in weight space.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include <lpw/late_phase/spread.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/flat_weights.hpp>
#include <lpw/nn/forms/additive.hpp>

namespace lpw::inline LPW_ABI {

/// Two averages exist for batch norm. `affine` makes the exact mean of the members' evaluation-mode maps (what
/// averaging the members' outputs layer by layer gives); `parameters` averages gamma, beta and both running statistics
/// separately.
enum class Collapse { affine, parameters };

namespace detail {

/// What a text is given as.
template <class Given>
concept IsText = std::is_convertible_v < const std::remove_reference_t<Given>
&, std::string_view > ;

/// Ends the compilation with one line where a text is given as the form.
template <class Text>
void text_for_form() {
  static_assert(std::is_void_v<Text>,
                "lpw: a network is collapsed by lpw::Collapse::affine or lpw::Collapse::parameters, no text");
}

/// gamma' and beta' such that, with the averaged statistics mean' and variance', gamma' (x - mean') / sqrt(variance' +
/// eps) + beta' is mean_k of the members' maps. Written so that equal members give back their own gamma and beta bit
/// for bit.
template <class W>
void average_affine_maps(const Tensor<W, Cpu>& mean, const Tensor<W, Cpu>& variance, const Tensor<W, Cpu>& average_mean,
                         const Tensor<W, Cpu>& average_variance, double epsilon, Tensor<W, Cpu>& gamma,
                         Tensor<W, Cpu>& beta) {
  const std::int64_t members = mean.dim(0);
  for (std::int64_t k = 0; k < members; ++k)
    for (std::int64_t c = 0; c < mean.dim(1); ++c) {
      const double deviation = std::sqrt(double(variance.row(k)[c]) + epsilon),
                   average = std::sqrt(double(average_variance.data()[c]) + epsilon);
      W &g = gamma.row(k)[c], &b = beta.row(k)[c];
      const double offset = double(average_mean.data()[c]) - double(mean.row(k)[c]);
      if (offset != 0) b = static_cast<W>(double(b) + double(g) * offset / deviation);
      g = static_cast<W>(double(g) * (average / deviation));
    }
}

/// The rows of a parameter on the host, one for each of K members.
template <class W, class D>
[[nodiscard]] Tensor<W, Cpu> member_rows_on_host(const Tensor<W, D>& value, std::int64_t members) {
  Tensor<W, Cpu> rows(value.shape().with(0, members));
  nn::detail::copy_rows(to_host(value), rows);
  return rows;
}

template <class T, class D>
void collapse_affine(nn::BatchNorm<T, D>& module, std::int64_t members) {
  using W = Accumulate<T>;
  auto gamma = member_rows_on_host(nn::member_rows(module.weight), members),
       beta = member_rows_on_host(nn::member_rows(module.bias), members);
  const auto mean = to_host(module.running_mean.value()), variance = to_host(module.running_var.value());
  average_affine_maps(mean, variance, mean_rows(mean), mean_rows(variance), module.options.epsilon, gamma, beta);
  const auto place = [](nn::Parameter<W, D>& parameter, const Tensor<W, Cpu>& rows) {
    auto value = to_device<D>(mean_rows(rows));
    parameter.remove_deviations();
    parameter.bind(value, zeros<W, D>(value.shape()), nullptr);
  };
  place(module.weight, gamma);
  place(module.bias, beta);
}

/// Each batch norm's gamma and beta as the members' mean map.
template <nn::Visitable M>
void collapse_affine_maps(M& network, std::int64_t members) {
  std::map<const void*, const void*> done;  // gamma and running mean of those so far: one may be visited twice
  nn::for_each_module(network, [&](const std::string& name, auto& module) {
    if constexpr (requires { collapse_affine(module, members); }) {
      const auto [other, fresh] = done.emplace(module.weight.id(), module.running_mean.id());
      require(fresh || other->second == module.running_mean.id(), "collapse: batch norm '", name,
              "' shares gamma with another that has statistics of its own; collapse by Collapse::parameters");
      if (fresh) collapse_affine(module, members);
    }
  });
}

}  // namespace detail

/// Turns the network into the plain one (theta, mean of phi_k): one row for every parameter and running statistic,
/// forms folded into their dense weights, and nothing left that is late-phase. What follows (an optimizer, or
/// Followers) goes along, and trains or averages the plain network: states become the mean of the members', those of a
/// weight with a form or with deviations are the weight's own, a weight that was made of templates is new and has none,
/// and an average of weights collapses as they do, by its parameters. Optimizers made for the released network that do
/// not follow refuse to step afterwards. The affine form reads running statistics: throws Error where they belong to
/// other weights (see recompute_statistics). Where several processes hold members, all must call it, and get the mean
/// of all.
template <nn::Visitable M, class Optimizer>
  requires(!detail::IsText<Optimizer>)
void collapse(M& network, Optimizer&& follower, Collapse form = Collapse::affine) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  static_assert(Follower<std::remove_reference_t<Optimizer>, nn::FlatWeights<W, D>>,
                "lpw: collapse takes what follows it, an optimizer or lpw::Followers(optimizer, average, ...), which "
                "have follows(stores) and rearrange(from, to)");
  require(form != Collapse::affine || !nn::statistics_stale(network),
          "collapse: the weights were averaged after the running statistics were gathered; call "
          "recompute_statistics(network, batches) "
          "first, or average the parameters");
  require(follower.follows(*nn::flatten(network)),
          "collapse: the optimizer was made for another network, or before this one was moved to other stores");
  gather_members(network, follower);
  const auto old = nn::flatten(network);
  detail::before_collapse(follower, network);
  if (form == Collapse::affine) detail::collapse_affine_maps(network, old->members);
  nn::for_each_parameter(network, [](const std::string&, nn::Parameter<W, D>& parameter) {
    parameter.set_late_phase(false);
    nn::fold_additive(parameter);
    if (parameter.value().dim(0) == 1) return;
    auto mean = mean_rows(parameter.value());
    parameter.bind(mean, zeros<W, D>(mean.shape()), nullptr);
  });
  nn::for_each_buffer(network, [](const std::string&, nn::Buffer<W, D>& buffer) {
    if (buffer.value().dim(0) > 1) buffer.bind(mean_rows(buffer.value()));
  });
  nn::for_each_dense_weight(network, [](const std::string&, auto& weight) { weight.fold(); });
  follower.rearrange(*old, nn::lay_out(network, 1));
}

/// The same of a network that no optimizer goes on with.
template <nn::Visitable M>
void collapse(M& network, Collapse form = Collapse::affine) {
  collapse(network, NoOptimizer{}, form);
}
/// For a text in place of the form: says which forms there are.
template <nn::Visitable M, detail::IsText Text>
void collapse(M&, const Text&) {
  detail::text_for_form<Text>();
}
template <nn::Visitable M, class Optimizer, detail::IsText Text>
void collapse(M&, Optimizer&&, const Text&) {
  detail::text_for_form<Text>();
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto collapse(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// The collapsed network as a new one; the given one is left as it is.
template <nn::Visitable M>
[[nodiscard]] M collapsed(const M& network, Collapse form = Collapse::affine) {
  M copy = nn::clone_module(network);
  collapse(copy, form);
  return copy;
}
/// For a text in place of the form: says which forms there are.
template <nn::Visitable M, detail::IsText Text>
[[nodiscard]] M collapsed(const M& network, const Text&) {
  detail::text_for_form<Text>();
  return network;
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto collapsed(const M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
