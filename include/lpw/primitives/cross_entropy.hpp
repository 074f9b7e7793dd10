// Mean cross-entropy of each member over its minibatch, with label smoothing.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

template <class T, class Device>
struct CrossEntropy {
  Tensor<Accumulate<T>, Device> loss;           // [K]: each member's mean over its minibatch
  Tensor<Accumulate<T>, Device> probabilities;  // [K, B, classes]
};

}  // namespace lpw::inline LPW_ABI
