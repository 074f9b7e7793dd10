// Batch norm, for each member over its own minibatch.
//
// batch_norm_forward(x, residual, gamma, beta, running, pass, known):
//   y = relu?(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual) for x and residual [K, ..., C], an empty
//   one being none, gamma and beta [1 or K, C]. The moments are those of x, `known` where its maker has summed them, or
//   with pass.batch_statistics false the running ones. y may be left pending on x. Those of x move the running
//   statistics: running <- (1 - momentum) running + momentum batch, with the unbiased variance, as PyTorch does; or
//   with pooled, mean <- mean + w d and variance <- (1 - w) (variance + w d^2) + w batch, where d = batch mean - mean
//   and w is the minibatch's share of all values so far (the law of total variance; Chan, Golub, LeVeque 1979). Where x
//   is a part of the minibatch, known are the whole's and pass.rows its rows.
// batch_norm_backward(saved, dy, dgamma, dbeta, dx, dresidual, known):
//   the gradients of that from dy [K, ..., C]. A null target is not wanted. dgamma and dbeta are [1 or K, C]; dresidual
//   is meant for a forward with ReLU (without, it is dy itself). known: what conv2d_backward_data returned for this dy,
//   or empty; or of a part of the minibatch, the whole's sums.
// batch_moments(x):
//   mean and biased variance [K, C] of x [K, ..., C].
// batch_norm_part_sums(saved, dy, dgamma, dbeta, weight, known):
//   weight times the sums over the rows of g and of g (x - mean), [K, 2, C], g being dy behind ReLU's mask; known as
//   above. What a part of a minibatch adds to the whole's. dgamma and dbeta become the part's own.
#pragma once

#include <lpw/primitives/activation.hpp>
#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// What normalises a minibatch, each [K, C]: mean, 1/sqrt(variance + epsilon), and with gamma and beta the map
/// scale (x - mean) + shift: scale = gamma / sqrt(variance + epsilon), shift = beta.
template <class W, class Device>
struct Normalizer {
  Tensor<W, Device> mean, inverse_deviation, scale, shift;  // [K, C] each
};

/// Running mean and (unbiased) variance [K, C] of the members a pass computes; rows may be strided.
template <class W, class Device>
struct RunningStatistics {
  Tensor<W, Device> mean, variance;  // [K, C] each
};

/// How batch norm's forward normalises: by the minibatch, which moves the running statistics, or by these, which stay
/// as they are.
struct BatchNormPass {
  double epsilon = 1e-5;         // added to the variance
  double momentum = 0.1;         // 1: a new beginning
  bool relu = false;             // whether negative results become 0
  bool batch_statistics = true;  // those of the minibatch, else the running ones
  bool pooled = false;  // running becomes that of all values so far, of which this minibatch's are the share `momentum`
  std::int64_t rows = 0;  // per member, of the minibatch of which x is a part; 0: x's own. On the CPU
};

/// What batch norm's backward needs of its forward.
template <class T, class Device>
struct BatchNormSaved {
  Tensor<T, Device> x;                         // [K, ..., C]
  Normalizer<Accumulate<T>, Device> by;        // the forward's
  Tensor<T, Device> residual;                  // with a residual and ReLU: needed for the mask
  bool relu = false, batch_statistics = true;  // false: the moments were constants (evaluation)
};

/// A batch norm's outputs, and the moments that it normalised with, which its backward takes.
template <class T, class Device>
struct BatchNormResult {
  Activation<T, Device> y;          // normalised, or pending
  BatchNormSaved<T, Device> saved;  // for the backward
};

}  // namespace lpw::inline LPW_ABI
