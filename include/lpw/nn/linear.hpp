// Linear module.
#pragma once

#include <optional>

#include <lpw/autograd/linear.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A linear layer.
struct LinearShape {
  std::int64_t in_features, out_features;  // of input and output
  bool bias = true;                        // whether one is added
  bool head = false;                       // the last layer of a network, which release can replicate whole
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

  /// [K, B, in] -> [K, B, out]. Throws ShapeError for other features.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    return bias ? linear(x, weight.on(x), std::optional(bias->on(x).rows)) : linear(x, weight.on(x));
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
  }

  DenseWeight<W, D> weight;               // [out, in]
  std::optional<DenseWeight<W, D>> bias;  // [out], or none

 private:
  static Shape checked(const LinearShape& s) {
    require<OptionError>(s.in_features > 0 && s.out_features > 0, "Linear: in_features ", s.in_features,
                         " and out_features ", s.out_features, " must be positive");
    return {1, s.out_features, s.in_features};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
