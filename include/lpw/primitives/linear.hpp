// Fully connected layers, and what a dense weight with rank-1 factors has for gradients.
//
// linear_forward(x, weight, bias):
//   y [K, B, out] = x [K, B, in] weight^T + bias; weight [1 or K, out, in], bias [1 or K, out] or empty.
// linear_backward_data(dy, weight, dx): dx [K, B, in] (+)= dy [K, B, out] weight.
// linear_backward_weight(x, dy, dweight): dweight [1 or K, out, in] (+)= dy^T x, summed over the minibatch.
// linear_backward_bias(dy, dbias): dbias [1 or K, out] (+)= the sum of dy [K, B, out] over the minibatch.
//
// rank_one_backward(product, weight, output, input, dweight, doutput, dinput):
//   the gradients of weight W [1 or K, O, C] and factors `output` r [1 or K, O] and `input` s [1 or K, C], with which
//   member k computes as with W o (r_k s_k^T). `product` P [K, O, C] is P_k = dy_k^T x_k over all rows, which for a
//   plain weight would be the gradient; it holds all that is needed of the data:
//   dW (+)= sum_k r_k s_k^T o P_k, dr_k (+)= (W o P_k) s_k, ds_k (+)= (W o P_k)^T r_k. So neither the scaled inputs nor
//   the products before scaling have to be kept. A gradient without a tensor is not wanted.
#pragma once

#include <lpw/primitives/gradient.hpp>
