// Rows of members: [K, P] matrices of late-phase weights, and whole stores.
//
// mean_rows(rows): the mean of the rows [K, ...] as [1, ...]: row 0 plus the mean of the differences from it, which is
//   exact where all rows are equal.
// add_member_noise(rows, deviation, random): rows_k += deviation rms(row 0) eps_k, eps ~ N(0, 1), for rows that are all
//   equal: release noise. The draw for an element depends on the random stream, the member and the element only.
// move_average(average, value, weight): average += (value - average) weight. Throws ShapeError.
#pragma once

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>
