// Softmax over the last axis.
//
// softmax_forward(x, causal):
//   y [..., N] = exp(x_j - max x) / sum_j of the same for x [..., N]. Where `causal`, x is [..., M, N], and row i has
//   zeros behind its column i, whatever x is there. A row of -infinity alone, or with NaN, becomes NaN.
// softmax_backward(y, dy, dx): dx (+)= y (dy - sum_j y_j dy_j), y the forward's result.
#pragma once

#include <lpw/primitives/gradient.hpp>
