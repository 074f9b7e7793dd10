// Group norm, and layer norm: each sample is normalised by itself, whatever the minibatch.
//
// x, y, dy and dx are [K, S, ..., C]: K members, S samples, C channels in equal groups of neighbours; gamma, beta and
// their gradients [1 or K, C]. The moments of a sample's group are those of its channels at all places between; the
// variance is biased. Layer norm over the last axis is one group, without axes between: each row is a sample.
//
// group_norm_forward(x, gamma, beta, groups, epsilon): y = gamma (x - mean) / sqrt(variance + epsilon) + beta, and what
//   backward needs. The mean is subtracted before anything is scaled, as in batch norm.
// group_norm_backward(saved, gamma, dy, dgamma, dbeta, dx): the gradients of that. A null target is not wanted.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// What group norm's backward needs of its forward.
template <class T, class Device>
struct GroupNormSaved {
  Tensor<T, Device> x;                                    // [K, S, ..., C]
  Tensor<Accumulate<T>, Device> mean, inverse_deviation;  // [K, S, groups]
};

/// What its forward gives.
template <class T, class Device>
struct GroupNormResult {
  Tensor<T, Device> y;              // normalised, of x's shape
  GroupNormSaved<T, Device> saved;  // for the backward
};

/// x [K, S, ..., C] as [K, S, P, C], with P places between and groups of C / groups channels.
struct SampleGroups {
  std::int64_t members, samples, places, channels, groups;  // of x

  /// Of a shape [K, S, ..., C] whose channels the groups divide.
  [[nodiscard]] static SampleGroups of(const Shape& shape, std::int64_t groups) {
    const std::int64_t outer = shape[0] * shape[1] * shape[-1];
    return {shape[0], shape[1], outer ? shape.size() / outer : 0, shape[-1], groups};
  }
  /// Channels of a group.
  [[nodiscard]] std::int64_t width() const { return channels / groups; }
  /// Elements of a sample, and of its group.
  [[nodiscard]] std::int64_t sample_size() const { return places * channels; }
  /// Elements that are normalised together.
  [[nodiscard]] std::int64_t group_size() const { return places * width(); }
};

}  // namespace lpw::inline LPW_ABI
