// Sharpness-aware minimisation (SAM, Foret et al. 2021; ASAM, Kwon et al. 2021) around any optimizer: each step takes
// the gradient twice, at the weights and at the weights moved up the loss, and steps the weights with the second.
//
// With members. Member k is the network (theta, phi_k) with the loss L_k, and SAM moves it by at most rho: what
// maximises sum_k L_k to first order with |(e_theta, e_k)| <= rho for every k is, with G = sum_k grad_theta L_k,
// g_k = grad_phi_k L_k and B = sum_k |g_k|,
//
//   e_theta = rho G / sqrt(|G|^2 + B^2),    e_k = rho B / sqrt(|G|^2 + B^2)  g_k / |g_k|.
//
// Every member moves by rho. One member gives the paper's rho g / |g|, and so do equal members with equal minibatches;
// members that share nothing, or of which only late-phase weights ascend, are K networks with a SAM each. (Had all
// weights one norm together, each member would move by some rho / sqrt(K).) G does not know gamma_theta. Adaptive: the
// same for T^-1 e and T g, T = |w| + eta elementwise, so that e = rho T^2 g / |T g| for one member.
//
// Everything between the gradients is work on the device that waits for nothing, so a step may be replayed from a
// captured graph, by a key that says active(). From which step on SAM is used is the loop's choice: late SAM (Zhou et
// al. 2025) calls the optimizer alone before it.
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Which weights ascend. The others have their gradient taken where the ascent of these leads.
enum class Ascending { all, late_phase, base };

/// How far sharpness-aware minimisation ascends, by which metric, and with which weights.
struct SamOptions {
  double rho = 0.05;                   // how far the weights move; 0: not at all
  bool adaptive = false;               // in the metric of |w| + eta
  double eta = 0.01;                   // of the adaptive metric
  Ascending weights = Ascending::all;  // which of them ascend
};

/// Throws OptionError for what cannot be: a negative rho, an eta that is not above 0.
inline void require_possible(const SamOptions& options) {
  require<OptionError>(is_finite(options.rho) && options.rho >= 0, "Sam: rho ", options.rho, "; expected 0 or more");
  require<OptionError>(is_finite(options.eta) && options.eta > 0, "Sam: eta ", options.eta, "; expected above 0");
}

/// Which of a step's two gradients a pass is for.
enum class SamPass { first, second };

/// Holds a reference to an optimizer, and nothing that a checkpoint would have to keep.
template <class W, class D>
class Sam {
 public:
  /// Throws OptionError as require_possible.
  explicit Sam(Optimizer<W, D>& optimizer, const SamOptions& options = {}) : optimizer_(optimizer), options_(options) {
    require_possible(options);
  }

  /// As they were given.
  [[nodiscard]] const SamOptions& options() const { return options_; }

  /// Whether a step takes two passes; it does not with rho = 0, or before a release where only late-phase weights
  /// ascend. Throws OptionError where only base weights are to ascend and there are none.
  [[nodiscard]] bool active() const {
    const auto& value = optimizer_.weights().value;
    require<OptionError>(options_.weights != Ascending::base || value.base.size() > 0,
                         "Sam: only base weights are to ascend, and all weights are late-phase; let all ascend");
    return options_.rho > 0 && (base_ascends() || value.late.size() > 0);
  }

  /// The weights and running statistics as they were before an ascent; puts them back at the latest when it ends.
  class Ascended {
   public:
    Ascended(Ascended&& other) noexcept = default;
    Ascended& operator=(Ascended&&) = delete;
    ~Ascended() {
      try {
        restore();
      } catch (...) {  // on the way from another error, which says more
      }
    }
    /// Puts them back, to the bit.
    void restore() {
      const auto flat = std::exchange(flat_, nullptr);
      if (!flat) return;
      if (!base_.empty()) copy(base_, flat->value.base);
      if (!late_.empty()) copy(late_, flat->value.late);
      copy(buffers_, flat->buffers);
    }

   private:
    friend class Sam;
    Ascended(std::shared_ptr<nn::FlatWeights<W, D>> flat, Tensor<W, D> base, Tensor<W, D> late)
        : flat_(std::move(flat)), base_(std::move(base)), late_(std::move(late)), buffers_(clone(flat_->buffers)) {}

    std::shared_ptr<nn::FlatWeights<W, D>> flat_;
    Tensor<W, D> base_, late_, buffers_;
  };

  /// Moves the weights up by the gradients accumulated so far, which are zeroed: accumulate the second ones, restore()
  /// what this returns, and step the optimizer. Running statistics are put back, too: they are the first pass's. Frozen
  /// parameters stay where they are. Where several processes hold members, all call it together, with the shared
  /// weights' gradient summed over them (distributed::Members::sum_gradients), as that of the second pass is to be.
  /// Throws Error if the network has other weights by now.
  [[nodiscard]] Ascended ascend() {
    using Store = AscentStore<W, D>;
    const auto flat = optimizer_.current_weights();
    optimizer_.clear_frozen_gradients();
    const auto store = [](const Tensor<W, D>& value, const Tensor<W, D>& gradient) {
      return Store{value, gradient, Tensor<W, D>(value.shape())};
    };
    const Store base = base_ascends() ? store(flat->value.base, flat->gradient.base) : Store{};
    const Store late = late_ascends() ? store(flat->value.late, flat->gradient.late) : Store{};
    const Ascent how{options_.rho, options_.adaptive, options_.eta};
    const auto scale = flat->share ? scale_over(*flat->share, base, late, how) : ascent_scale(base, late, how);
    Ascended ascended(flat, base.kept, late.kept);
    if (base_ascends()) ascend_weights(base, scale.rows(0, 1), how);
    if (late_ascends())
      ascend_weights(late, scale.rows(1 + (flat->share ? flat->share->here().first : 0), flat->members), how);
    if (!base_ascends()) fill(flat->gradient.base, W(0));
    if (!late_ascends()) fill(flat->gradient.late, W(0));
    return ascended;
  }

  /// One iteration, as Optimizer::step. pass() or pass(SamPass) computes and accumulates the gradient, twice where SAM
  /// is active(): of the same minibatches, with the same random numbers, starting
  /// from the same carried states. Where it throws, the weights are those from before.
  template <class Pass>
  void step(Pass&& pass, double base_factor, double late_factor, std::optional<double> coefficient_factor = {}) {
    take_gradients(pass);
    optimizer_.step(base_factor, late_factor, coefficient_factor);
  }
  template <class Pass>
  void step(Pass&& pass, double factor = 1) {
    step(pass, factor, factor);
  }
  /// The same with schedules, as Optimizer::step takes them.
  template <class Pass>
  void step(Pass&& pass, const Time& at, const Schedule& schedule = Constant{},
            const std::optional<Schedule>& late = {}) {
    take_gradients(pass);
    optimizer_.step(at, schedule, late);
  }

 private:
  template <class Pass>
  void take_gradients(Pass& pass) {
    const auto take = [&](SamPass which) {
      if constexpr (std::is_invocable_v<Pass&, SamPass>) {
        pass(which);
      } else {
        pass();
      }
    };
    take(SamPass::first);
    if (!active()) return;
    auto ascended = ascend();
    take(SamPass::second);
    ascended.restore();
  }
  /// ascent_scale of all members: that of weights whose gradients are the norms, since it knows of these alone.
  [[nodiscard]] static Tensor<W, D> scale_over(const nn::MemberShare& share, const AscentStore<W, D>& base,
                                               const AscentStore<W, D>& late, const Ascent& how) {
    const auto norms = ascent_norms(base, late, how);
    const auto as_store = [](const Tensor<W, D>& gradient) {
      const auto rows = gradient.reshaped({gradient.size(), 1});
      return AscentStore<W, D>{rows, rows, {}};
    };
    const auto members = late.weight.empty() ? Tensor<W, D>() : nn::all_numbers(share, norms.rows(1, norms.size() - 1));
    return ascent_scale(base.weight.empty() ? AscentStore<W, D>() : as_store(norms.rows(0, 1)),
                        members.empty() ? AscentStore<W, D>() : as_store(members), {.rho = how.rho});
  }
  [[nodiscard]] bool base_ascends() const { return options_.weights != Ascending::late_phase; }
  [[nodiscard]] bool late_ascends() const { return options_.weights != Ascending::base; }

  Optimizer<W, D>& optimizer_;
  SamOptions options_;
};

}  // namespace lpw::inline LPW_ABI::optim
