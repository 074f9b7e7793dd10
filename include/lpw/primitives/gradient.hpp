// Where backward primitives write.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Where a backward primitive writes: it overwrites `tensor`, or adds to it when `accumulate` is set.
template <class T, class Device>
struct Gradient {
  Tensor<T, Device> tensor;
  bool accumulate = false;
};

}  // namespace lpw::inline LPW_ABI
