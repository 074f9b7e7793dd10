// Layer norm and group norm modules. They know no minibatch: nothing is gathered, and evaluation is as training.
#pragma once

#include <lpw/autograd/group_norm.hpp>
#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

namespace detail {

[[nodiscard]] inline Shape norm_row(const char* layer, std::int64_t channels, const GroupNormOptions& options) {
  lpw::detail::require_epsilon(layer, options.epsilon);
  require<OptionError>(channels > 0, layer, ": ", channels, " channels; expected 1 or more");
  return {1, channels};
}

}  // namespace detail

/// gamma (x - mean) / sqrt(variance + epsilon) + beta over each row of x [K, ..., C].
template <class T, class D>
struct LayerNorm {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// gamma 1, beta 0. Throws OptionError unless channels > 0 and epsilon >= 0.
  explicit LayerNorm(std::int64_t channels, GroupNormOptions o = {})
      : options(o),
        weight(full<W, D>(detail::norm_row("LayerNorm", channels, o), W(1)), Group::layer_norm),
        bias(zeros<W, D>({1, channels}), Group::layer_norm) {}

  /// [K, ..., C] -> the same shape. Throws ShapeError for other channels.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    return layer_norm(x, weight.on(x), bias.on(x), options);
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    f("bias", bias);
  }

  GroupNormOptions options;      // epsilon
  Parameter<W, D> weight, bias;  // gamma and beta, [C] each
};

/// The same over the groups of channels of each sample of x [K, B, ..., C].
template <class T, class D>
struct GroupNorm {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// gamma 1, beta 0. Throws OptionError unless `groups` divide the channels and epsilon >= 0.
  GroupNorm(std::int64_t number, std::int64_t channels, GroupNormOptions o = {})
      : groups(number),
        options(o),
        weight(full<W, D>(detail::norm_row("GroupNorm", channels, o), W(1)), Group::group_norm),
        bias(zeros<W, D>({1, channels}), Group::group_norm) {
    require<OptionError>(groups > 0 && channels % groups == 0, "GroupNorm: ", groups, " groups of ", channels,
                         " channels; expected a number that divides them");
  }

  /// [K, B, ..., C] -> the same shape. Throws ShapeError for other channels.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    return group_norm(x, groups, weight.on(x), bias.on(x), options);
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    f("bias", bias);
  }

  std::int64_t groups;           // of channels
  GroupNormOptions options;      // epsilon
  Parameter<W, D> weight, bias;  // gamma and beta, [C] each
};

}  // namespace lpw::inline LPW_ABI::nn
