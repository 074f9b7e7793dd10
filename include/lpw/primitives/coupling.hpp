// How members' late-phase weights pull on each other: rows [K, ...] of a store, which may lie apart.
//
// pull_to_mean(rows, strength): rows_k += strength (mean - rows_k), where mean is that of all rows. Exact at its ends:
//   with strength 1 all rows become the mean, and equal rows stay as they are.
// pull_to_centre(rows, centre, strength): with d_k = rows_k - centre, centre [1, ...]: rows_k -= strength d_k and
//   centre += strength sum_k d_k, both from the values before.
// swap_members(rows, share, random): permutes the K values of a coordinate with probability `share`, each of the K!
//   ways as likely as another. The numbers of coordinate i are PhiloxSequence(random, i, K): the first is below `share`
//   where it is permuted; then, for j = K - 1, ..., 1, the values in rows j and below(j + 1) are exchanged (Fisher and
//   Yates). The same bits on every device.
#pragma once

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>
