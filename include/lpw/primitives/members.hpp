// Rows of members: [K, P] matrices of late-phase weights, and whole stores.
//
// mean_rows(rows): the mean of the rows [K, ...] as [1, ...]: row 0 plus the mean of the differences from it, which is
//   exact where all rows are equal.
// add_member_noise(rows, deviation, random): rows_k += deviation rms(row 0) eps_k, eps ~ N(0, 1), for rows that are all
//   equal: release noise. The draw for an element depends on the random stream, the member and the element only.
// add_member_noise(rows, of, deviation, random): the same with the rms of a row [1, ...], which may be among `rows`.
// add_row_forward(rows, row): rows_k + row, a row [1, ...] that the members share, as contiguous rows.
// add_row_backward(dy, drows, drow): the gradients of its operands from dy [K, ...], contiguous: drows (+)= dy, and
//   drow (+)= sum over K, one member after another, so that members in chunks add up to the same bits. One that is
//   empty is not wanted.
// move_average(average, value, weight): average += (value - average) weight. Throws ShapeError.
#pragma once

#include <lpw/primitives/gradient.hpp>
#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>
