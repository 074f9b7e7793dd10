// A training and a validation set of samples that come as one: a part of every class, drawn by a seed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <lpw/data/minibatch_plan.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// How large a part of each class is for validation, and by what it is drawn.
struct DataSplitOptions {
  double part = 0.2;       // of each class, for validation
  std::uint64_t seed = 0;  // of which samples these are
};

/// The numbers of samples, each list in ascending order.
struct Split {
  std::vector<std::int64_t> train;  // to train on
  std::vector<std::int64_t> valid;  // for validation
};

/// Splits samples: of the n of every class, part n, rounded, are for validation, at least one and never all. Which ones
/// depends on the seed and on that class alone. Throws OptionError unless 0 < part < 1 and every class that occurs has
/// two samples.
[[nodiscard]] inline Split split(std::span<const std::int32_t> labels, int classes,
                                 const DataSplitOptions& options = {}) {
  require<OptionError>(options.part > 0 && options.part < 1, "split: expected a part between 0 and 1, found ",
                       options.part);
  std::vector<std::vector<std::int64_t>> of_class(to_size(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) of_class[to_size(labels[i])].push_back(static_cast<std::int64_t>(i));
  Split result;
  for (int c = 0; c < classes; ++c) {
    const auto& samples = of_class[to_size(c)];
    const std::int64_t count = std::ssize(samples);
    if (count == 0) continue;
    require<OptionError>(count > 1, "split: class ", c, " has one sample; a training and a validation set need two");
    const auto valid = std::clamp<std::int64_t>(std::llround(options.part * static_cast<double>(count)), 1, count - 1);
    const auto order = epoch_order(count, options.seed, static_cast<std::uint32_t>(c));
    for (std::int64_t i = 0; i < count; ++i)
      (i < valid ? result.valid : result.train).push_back(samples[to_size(order[to_size(i)])]);
  }
  std::sort(result.train.begin(), result.train.end());
  std::sort(result.valid.begin(), result.valid.end());
  return result;
}

/// The same of samples without classes.
[[nodiscard]] inline Split split(std::int64_t samples, const DataSplitOptions& options = {}) {
  require<OptionError>(samples >= 2, "split: ", samples, " samples; a training and a validation set need two");
  return split(std::vector<std::int32_t>(to_size(samples)), 1, options);
}

}  // namespace lpw::inline LPW_ABI::data
