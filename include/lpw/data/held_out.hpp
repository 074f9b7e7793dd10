// Samples of a training set that are kept from training, to choose by: which candidate is best, which members to
// average, by which coefficients. (A choice by the test set would make its score too good.)
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <vector>

#include <lpw/data/dataset.hpp>

namespace lpw::inline LPW_ABI::data {

/// Moves a class-balanced part of `size` images, as balanced_choice says, from the training set to `held_out`; 0 moves
/// nothing. Normalization stays that of all of them. The rest keeps its order and its memory. Throws OptionError unless
/// at least one image remains to train on, or where there are held-out images already.
inline void hold_out(Dataset& dataset, std::int64_t size) {
  ImageSet& train = dataset.train;
  if (size == 0) return;
  require<OptionError>(size > 0 && size < train.count, "`held_out` ", size, ": expected from 0 to ", train.count - 1,
                       ", one image fewer than the training set");
  require<OptionError>(dataset.held_out.count == 0, "`held_out` ", size, ": ", dataset.held_out.count,
                       " images are held out already");
  const auto chosen = balanced_choice(train.labels, train.classes, size);
  dataset.held_out = chosen_images(train, chosen);
  if (train.source) {
    std::vector<std::int64_t> rest, all(to_size(train.count));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    std::set_difference(all.begin(), all.end(), chosen.begin(), chosen.end(), std::back_inserter(rest));
    train = chosen_images(train, rest);
    return;
  }
  std::int64_t kept = 0;
  for (std::int64_t i = 0, next = 0; i < train.count; ++i) {
    if (next < size && chosen[to_size(next)] == i) {
      ++next;
      continue;
    }
    std::copy_n(train.image(i), train.image_size(), train.image(kept));
    train.labels[to_size(kept++)] = train.labels[to_size(i)];
  }
  train.count = kept;
  train.pixels.resize(to_size(kept * train.image_size()));
  train.labels.resize(to_size(kept));
}

}  // namespace lpw::inline LPW_ABI::data
