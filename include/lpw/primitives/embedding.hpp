// Table look-up: indices [K, B...] into a weight [1 or K, V, E].
//
// embedding_forward(indices, weight): y [K, B..., E], the rows of the weight at the indices. An index outside [0, V) is
//   an Error on the CPU; on a GPU, which would have to be waited for, its row is NaN, and no gradient takes it in.
// embedding_backward(indices, dy, dweight): dweight (+)= the sum of dy [K, B..., E] over the places of each index.
#pragma once

#include <lpw/primitives/gradient.hpp>
