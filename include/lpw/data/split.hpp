// A training and a validation set, and perhaps one to test on, of samples that come as one: parts of every class, drawn
// by a seed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
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

/// How large the parts of each class are that are not trained with, and by what they are drawn.
struct SplitInThreeOptions {
  double valid = 0.1, test = 0.2;  // of all samples of each class
  std::uint64_t seed = 0;          // of which samples these are
};

/// The numbers of samples, each list in ascending order.
struct SplitInThree {
  std::vector<std::int64_t> train;  // to train on
  std::vector<std::int64_t> valid;  // to choose and to stop by
  std::vector<std::int64_t> test;   // to score once
};

namespace detail {

/// The samples of each class, in an order that depends on the seed and on that class alone.
[[nodiscard]] inline std::vector<std::vector<std::int64_t>> drawn_classes(std::span<const std::int32_t> labels,
                                                                          int classes, std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> of_class(to_size(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) of_class[to_size(labels[i])].push_back(static_cast<std::int64_t>(i));
  for (int c = 0; c < classes; ++c) {
    auto& samples = of_class[to_size(c)];
    auto order = epoch_order(std::ssize(samples), seed, static_cast<std::uint32_t>(c));
    for (auto& i : order) i = samples[to_size(i)];
    samples = std::move(order);
  }
  return of_class;
}

/// A part of `count` samples, rounded, at least one and at most `most`.
[[nodiscard]] inline std::int64_t part_of(std::int64_t count, double part, std::int64_t most) {
  return std::clamp<std::int64_t>(std::llround(part * static_cast<double>(count)), 1, most);
}

}  // namespace detail

/// Splits samples: of the n of every class, part n, rounded, are for validation, at least one and never all. Which ones
/// depends on the seed and on that class alone. Throws OptionError unless 0 < part < 1 and every class that occurs has
/// two samples.
[[nodiscard]] inline Split split(std::span<const std::int32_t> labels, int classes,
                                 const DataSplitOptions& options = {}) {
  require<OptionError>(options.part > 0 && options.part < 1, "split: expected a part between 0 and 1, found ",
                       options.part);
  Split result;
  for (int c = 0; const auto& samples : detail::drawn_classes(labels, classes, options.seed)) {
    const std::int64_t count = std::ssize(samples);
    require<OptionError>(count != 1, "split: class ", c, " has one sample; a training and a validation set need two");
    ++c;
    if (count == 0) continue;
    const auto rest = samples.begin() + detail::part_of(count, options.part, count - 1);
    result.valid.insert(result.valid.end(), samples.begin(), rest);
    result.train.insert(result.train.end(), rest, samples.end());
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

/// Splits samples in three: of the n of every class, test n, rounded, are for the test and valid n for validation, at
/// least one of each, and one is left to train on. Which ones depends on the seed and on that class alone; the test's
/// are the validation samples of split with that part. Throws OptionError unless 0 < valid, 0 < test, valid + test < 1
/// and every class that occurs has three samples.
[[nodiscard]] inline SplitInThree split_in_three(std::span<const std::int32_t> labels, int classes,
                                                 const SplitInThreeOptions& options = {}) {
  require<OptionError>(options.valid > 0 && options.test > 0 && options.valid + options.test < 1,
                       "split_in_three: expected parts above 0 whose sum is below 1, found ", options.valid, " and ",
                       options.test);
  SplitInThree result;
  for (int c = 0; const auto& samples : detail::drawn_classes(labels, classes, options.seed)) {
    const std::int64_t count = std::ssize(samples);
    require<OptionError>(count == 0 || count > 2, "split_in_three: class ", c, " has ", count,
                         " samples; a training, a validation and a test set need three");
    ++c;
    if (count == 0) continue;
    const std::int64_t tested = detail::part_of(count, options.test, count - 2);
    const auto valid = samples.begin() + tested,
               train = valid + detail::part_of(count, options.valid, count - tested - 1);
    result.test.insert(result.test.end(), samples.begin(), valid);
    result.valid.insert(result.valid.end(), valid, train);
    result.train.insert(result.train.end(), train, samples.end());
  }
  for (auto* part : {&result.train, &result.valid, &result.test}) std::sort(part->begin(), part->end());
  return result;
}

/// The same of samples without classes.
[[nodiscard]] inline SplitInThree split_in_three(std::int64_t samples, const SplitInThreeOptions& options = {}) {
  require<OptionError>(samples >= 3, "split_in_three: ", samples,
                       " samples; a training, a validation and a test set need three");
  return split_in_three(std::vector<std::int32_t>(to_size(samples)), 1, options);
}

}  // namespace lpw::inline LPW_ABI::data
