// Linear module.
#pragma once

#include <optional>

#include <lpw/autograd/linear.hpp>
#include <lpw/nn/initializer.hpp>
#include <lpw/nn/rank_one.hpp>

namespace lpw::inline LPW_ABI::nn {

struct LinearShape {
  std::int64_t in_features, out_features;
  bool bias = true;
  bool head = false;  // the last layer of a network, which release can replicate whole
};

/// y = x W^T + b for x [K, B, in], weight [out, in], bias [out].
template <class T, class D>
struct Linear {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights, zero bias. Throws OptionError for an impossible shape.
  Linear(const LinearShape& shape, Initializer& init)
      : weight(init.he_normal<W, D>(checked(shape), shape.in_features), shape.head ? Group::head : Group::none) {
    if (shape.bias) bias.emplace(zeros<W, D>({1, shape.out_features}), weight.group());
  }

  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    if (!rank_one) return bias ? linear(x, weight.on(x), bias->on(x)) : linear(x, weight.on(x));
    const auto scaled = scale_channels(x, rank_one->input.on(x));
    const auto y = scale_channels(linear(scaled, weight.on(x)), rank_one->output.on(x));
    return bias ? add_channels(y, bias->on(x)) : y;
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
    if (rank_one) f("rank_one_r", rank_one->output), f("rank_one_s", rank_one->input);
  }

  template <class F>
  void for_each_dense(F&& f) {
    f(weight, rank_one);
  }

  Parameter<W, D> weight;
  std::optional<Parameter<W, D>> bias;
  std::optional<RankOne<W, D>> rank_one;

 private:
  static Shape checked(const LinearShape& s) {
    require<OptionError>(s.in_features > 0 && s.out_features > 0, "Linear: in_features ", s.in_features, " and out_features ",
                         s.out_features, " must be positive");
    return {1, s.out_features, s.in_features};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
