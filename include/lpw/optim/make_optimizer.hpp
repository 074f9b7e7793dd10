// An optimizer chosen at run time.
#pragma once

#include <memory>
#include <variant>

#include <lpw/optim/adam.hpp>
#include <lpw/optim/sgd.hpp>

namespace lpw::inline LPW_ABI::optim {

/// One of the optimizers, with its options.
using OptimizerOptions = std::variant<SgdOptions, AdamOptions>;

/// The optimizer of these options for a network. Throws OptionError as its constructor does.
template <nn::Visitable M>
[[nodiscard]] std::unique_ptr<Optimizer<nn::WeightOf<M>, typename M::device_type>> make_optimizer(
    M& network, const OptimizerOptions& options) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  if (const auto* adam = std::get_if<AdamOptions>(&options)) return std::make_unique<Adam<W, D>>(network, *adam);
  return std::make_unique<Sgd<W, D>>(network, std::get<SgdOptions>(options));
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto make_optimizer(M&, const OptimizerOptions&) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::optim
