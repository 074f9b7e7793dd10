// Gradients of an output of any shape, which is no loss.
#pragma once

#include <lpw/autograd/tape.hpp>

namespace lpw::test {

/// Runs a tape backwards from the sum of y's elements.
template <class T, class D>
void backward_of_sum(Tape& tape, const Variable<T, D>& y) {
  tape.backward(y, full<T, D>(y.shape(), T(1)));
}

}  // namespace lpw::test
