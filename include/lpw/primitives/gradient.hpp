// Where backward primitives write.
//
// What all primitives share: K members; a parameter [1 or K, ...] has one row, which the members share, or a row for
// each, and its gradient as many, which are then sums over the members or each member's own. (+)= overwrites or adds,
// as the Gradient says. Sums and parameters of elements T are Accumulate<T>, which below and in the devices' files
// is W.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Where a backward primitive writes: it overwrites `tensor`, or adds to it when `accumulate` is set.
template <class T, class Device>
struct Gradient {
  Tensor<T, Device> tensor;  // to be written
  bool accumulate = false;   // to add to it
};

}  // namespace lpw::inline LPW_ABI
