// Minibatches: every member of an ensemble gets its own (the method's Algorithm 1), and an epoch still visits every
// sample once. The order of an epoch is a permutation drawn from (seed, epoch) alone, and iterations take consecutive
// stretches of it. A batch is therefore a function of its place in training, which is what makes a resumed run read the
// same data.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <lpw/data/augment.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/data/prefetch.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::data {

/// One minibatch for each of K members.
template <class T, class Device = Cpu>
struct Batch {
  Tensor<T, Device> images;             // [K, B, H, W, C]
  Tensor<std::int32_t, Device> labels;  // [K, B]
};

/// How an epoch is cut into minibatches.
struct LoaderOptions {
  std::int64_t batch =
      128;  // samples per member and iteration; the last may have fewer, or one more (see MinibatchPlan::iterations)
  AugmentOptions augment = no_augmentation;
  bool shuffle = true;
  std::uint64_t seed = 0;
};

/// Options for evaluation: every sample exactly once, in stored order, as it is. Use with members = 1.
[[nodiscard]] constexpr LoaderOptions evaluation(std::int64_t batch = 500) {
  return {.batch = batch, .shuffle = false};
}

/// The order in which an epoch visits `count` samples: a uniform permutation (Fisher and Yates), the same for any batch
/// size, number of members or threads.
[[nodiscard]] inline std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed,
                                                           std::uint32_t epoch) {
  std::vector<std::int64_t> order(to_size(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const Philox random(seed, Stream::order, epoch);
  for (std::size_t i = order.size(); i-- > 1;)
    std::swap(order[i], order[random.below(i, static_cast<std::uint32_t>(i + 1))]);
  return order;
}

/// Which samples every member gets in every iteration of an epoch.
class MinibatchPlan {
 public:
  /// The entries [first, first + members * batch) of an epoch's order: member k gets `batch` of them from first + k *
  /// batch on.
  struct Slice {
    std::int64_t first, batch;
  };

  /// Throws OptionError for options that do not fit a set of `count` samples.
  MinibatchPlan(std::int64_t count, const LoaderOptions& options) : count_(count), options_(options) {
    require<OptionError>(options.batch > 0, "loader: expected a batch of at least 1 sample, found ", options.batch);
    require<OptionError>(count <= std::numeric_limits<std::uint32_t>::max(), "loader: ", count,
                         " images are more than 2^32 - 1");
  }

  /// Iterations of an epoch. Each takes members * batch samples; the r samples that remain form a last, smaller one of
  /// r / members (rounded down) per member, if that is not zero. One sample per member, of which batch norm could learn
  /// nothing, joins the iteration before, unless batches are of one sample anyway. So an epoch leaves out r mod members
  /// samples, others each time, and no more. Throws OptionError unless 0 < members <= the number of images.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const {
    const std::int64_t full = per_member(members) * members;
    return count_ / full + (count_ % full >= members && !joins(members));
  }
  /// Whether an epoch's last iteration has a sample more per member than the others: one that would have been left
  /// over.
  [[nodiscard]] bool joins(std::int64_t members) const {
    const std::int64_t batch = per_member(members);
    return batch > 1 && count_ % (batch * members) / members == 1;
  }
  /// Most samples per member of an iteration.
  [[nodiscard]] std::int64_t largest(std::int64_t members) const { return per_member(members) + joins(members); }
  /// The iterations from `first_iteration` on. Throws OptionError for an argument out of range.
  [[nodiscard]] std::int64_t iterations_from(std::int64_t epoch, std::int64_t members,
                                             std::int64_t first_iteration) const {
    require<OptionError>(epoch >= 0 && epoch <= std::numeric_limits<std::uint32_t>::max(),
                         "loader: expected an epoch from 0 to 2^32 - 1, found ", epoch);
    const std::int64_t count = iterations(members);
    require<OptionError>(first_iteration >= 0 && first_iteration <= count,
                         "loader: expected a first iteration from 0 to ", count, ", found ", first_iteration);
    return count - first_iteration;
  }
  /// What iteration `iteration` of an epoch takes, from 0 to iterations(members) - 1.
  [[nodiscard]] Slice slice(std::int64_t members, std::int64_t iteration) const {
    const std::int64_t full = per_member(members), first = iteration * members * full,
                       left = (count_ - first) / members;
    return {first, left == full + 1 && joins(members) ? left : std::min(full, left)};
  }
  /// epoch_order, or the stored order without shuffle.
  [[nodiscard]] std::vector<std::int64_t> order(std::int64_t epoch) const {
    if (options_.shuffle) return epoch_order(count_, options_.seed, static_cast<std::uint32_t>(epoch));
    std::vector<std::int64_t> order(to_size(count_));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    return order;
  }

 private:
  [[nodiscard]] std::int64_t per_member(std::int64_t members) const {
    require<OptionError>(members > 0 && members <= count_, "loader: expected from 1 to ", count_,
                         " members (one image each), found ", members);
    return std::min(options_.batch, count_ / members);
  }

  std::int64_t count_;
  LoaderOptions options_;
};

/// Turns a set of images into epochs of batches. It refers to the set, which must outlive it, as it must outlive its
/// epochs.
///
///     for (auto& [images, labels] : loader.epoch(epoch, members)) ...
template <Real T>
class Loader {
 public:
  using Epoch = Prefetch<Batch<T>>;

  /// Throws Error for a set that contradicts itself, OptionError for options that do not fit it.
  Loader(const ImageSet& set, const Normalization& normalization, const LoaderOptions& options = {})
      : set_(&set), plan_(set.count, options), table_(normalization, set.channels), options_(options) {
    validate(set);
    validate(options.augment, set.height, set.width);
  }
  Loader(ImageSet&&, const Normalization&, const LoaderOptions& = {}) = delete;

  /// The set that is read.
  [[nodiscard]] const ImageSet& set() const { return *set_; }
  /// As the loader was made.
  [[nodiscard]] const LoaderOptions& options() const { return options_; }

  /// As MinibatchPlan.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const { return plan_.iterations(members); }
  /// As MinibatchPlan::joins.
  [[nodiscard]] bool joins(std::int64_t members) const { return plan_.joins(members); }

  /// The batches of an epoch from iteration `first_iteration` on; they do not depend on where one starts. The order is
  /// epoch_order(set.count, seed, epoch), or the stored one without shuffle: member k of iteration i gets its entries
  /// from (i K + k) B on. Throws OptionError for an argument out of range.
  [[nodiscard]] Epoch epoch(std::int64_t epoch, std::int64_t members = 1, std::int64_t first_iteration = 0) const& {
    return Epoch(
        plan_.iterations_from(epoch, members, first_iteration),
        [this, members, first_iteration, epoch, order = std::vector<std::int64_t>()](std::int64_t i) mutable {
          if (order.empty()) order = plan_.order(epoch);  // in the background thread
          return make_batch(order, static_cast<std::uint32_t>(epoch), members, first_iteration + i);
        },
        batches_ahead(members));
  }
  Epoch epoch(std::int64_t, std::int64_t = 1, std::int64_t = 0) const&& = delete;

 private:
  [[nodiscard]] Batch<T> make_batch(const std::vector<std::int64_t>& order, std::uint32_t epoch, std::int64_t members,
                                    std::int64_t iteration) const {
    const auto [first, batch] = plan_.slice(members, iteration);
    Batch<T> result{Tensor<T, Cpu>({members, batch, set_->height, set_->width, set_->channels}),
                    Tensor<std::int32_t, Cpu>({members, batch})};
    for (std::int64_t j = 0; j < members * batch; ++j) {
      const std::int64_t index = order[to_size(first + j)];
      const auto how = draw_augmentation(options_.augment, options_.seed, epoch, index, set_->height, set_->width);
      augment(set_->image(index), set_->height, set_->width, how, table_,
              result.images.data() + j * set_->image_size());
      result.labels.data()[j] = set_->labels[to_size(index)];
    }
    return result;
  }

  /// Two hide any jitter; of large batches, whose steps take long, one does, and two would hold much memory.
  [[nodiscard]] std::size_t batches_ahead(std::int64_t members) const {
    constexpr std::size_t large = std::size_t{4} << 20;
    const std::int64_t images = members * plan_.slice(members, 0).batch;
    return static_cast<std::size_t>(images * set_->image_size()) * sizeof(T) > large ? 1 : 2;
  }

  const ImageSet* set_;
  MinibatchPlan plan_;
  NormalizationTable<T> table_;
  LoaderOptions options_;
};

/// The loader of batches for a device.
template <Real T, class Device>
struct LoaderFor;
/// On the processor batches are made by threads, ahead of their use.
template <Real T>
struct LoaderFor<T, Cpu> {
  using type = Loader<T>;
};

}  // namespace lpw::inline LPW_ABI::data
