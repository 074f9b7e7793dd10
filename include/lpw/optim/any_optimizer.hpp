// An optimizer chosen at run time, with what all of them share.
#pragma once

#include <variant>

#include <lpw/optim/adam.hpp>
#include <lpw/optim/sgd.hpp>

namespace lpw::inline LPW_ABI::optim {

using OptimizerOptions = std::variant<SgdOptions, AdamOptions>;

template <class W, class D>
class AnyOptimizer {
 public:
  template <nn::Visitable M>
  AnyOptimizer(M& network, const OptimizerOptions& options) : chosen_(make(network, options)) {}

  void advance() {
    std::visit([](auto& o) { o.advance(); }, chosen_);
  }
  void apply(double base_factor, double late_factor) {
    std::visit([&](auto& o) { o.apply(base_factor, late_factor); }, chosen_);
  }
  [[nodiscard]] const nn::FlatWeights<W, D>& weights() const {
    return *std::visit([](const auto& o) { return &o.weights(); }, chosen_);
  }
  [[nodiscard]] bool follows(const nn::FlatWeights<W, D>& flat) const {
    return std::visit([&](const auto& o) { return o.follows(flat); }, chosen_);
  }
  void rearrange(const nn::FlatWeights<W, D>& from, const std::shared_ptr<nn::FlatWeights<W, D>>& to) {
    std::visit([&](auto& o) { o.rearrange(from, to); }, chosen_);
  }
  [[nodiscard]] std::vector<NamedState<W, D>>& states() {
    return *std::visit([](auto& o) { return &o.states(); }, chosen_);
  }
  [[nodiscard]] StepCounts steps() const {
    return std::visit([](const auto& o) { return o.steps(); }, chosen_);
  }
  void set_steps(StepCounts steps) {
    std::visit([&](auto& o) { o.set_steps(steps); }, chosen_);
  }
  [[nodiscard]] double learning_rate() const {
    return std::visit([](const auto& o) { return o.options().learning_rate; }, chosen_);
  }
  [[nodiscard]] double late_learning_rate() const {
    return std::visit([](const auto& o) { return o.late_learning_rate(); }, chosen_);
  }

 private:
  using Chosen = std::variant<Sgd<W, D>, Adam<W, D>>;

  template <class M>
  static Chosen make(M& network, const OptimizerOptions& options) {
    if (const auto* adam = std::get_if<AdamOptions>(&options)) return Adam<W, D>(network, *adam);
    return Sgd<W, D>(network, std::get<SgdOptions>(options));
  }

  Chosen chosen_;
};

}  // namespace lpw::inline LPW_ABI::optim
