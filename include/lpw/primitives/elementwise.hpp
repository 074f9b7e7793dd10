// Element by element, and channel by channel. x is [K, ..., C]; factors and biases [1 or K, C] go for all its rows.
//
// add_in_place(target, value): target += value, contiguous or of strided rows. Throws ShapeError for other shapes.
// add_forward(a, b): a + b, in a's memory if nobody else holds it. Throws ShapeError.
// relu_forward(x): max(x, 0); NaN stays NaN.
// relu_backward(y, dy, dx): dx (+)= dy where the forward's result y was positive, else 0.
// scale_channels_forward(x, factor): x factor, as a rank-1 factor scales.
// scale_channels_backward_data(dy, factor, dx): dx (+)= dy factor.
// scale_channels_backward_factor(x, dy, dfactor): dfactor [1 or K, C] (+)= the sum over the rows of x dy.
// add_channels_forward(x, bias): x + bias.
#pragma once

#include <lpw/primitives/gradient.hpp>
