// State in the form of the weights: what optimizers and averages hold, and checkpoints keep.
#pragma once

#include <string>

#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::optim {

/// A state such as momentum, in the form of the weights.
template <class W, class D>
struct NamedState {
  std::string name;         // as in checkpoints: "velocity"
  nn::FlatPair<W, D> pair;  // [1, N] and [K, P]
};

}  // namespace lpw::inline LPW_ABI::optim
