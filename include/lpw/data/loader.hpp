// Minibatches: every member of an ensemble gets its own (the method's Algorithm 1), and an epoch still visits every
// sample once; or all get the same, or each visits every sample (MemberData). The order of an epoch is a permutation
// drawn from (seed, epoch) alone, and iterations take consecutive stretches of it. A batch is therefore a function of
// its place in training, which is what makes a resumed run read the same data.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <lpw/data/augment.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/data/member_data.hpp>
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
  MemberData member_data = MemberData::own;
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
  /// An epoch's orders: one, or with MemberData::whole one for each member.
  using Orders = std::vector<std::vector<std::int64_t>>;

  /// Throws OptionError for options that do not fit a set of `count` samples.
  MinibatchPlan(std::int64_t count, const LoaderOptions& options) : count_(count), options_(options) {
    require<OptionError>(options.batch > 0, "loader: expected a batch of at least 1 sample, found ", options.batch);
    require<OptionError>(count <= std::numeric_limits<std::uint32_t>::max(), "loader: ", count,
                         " images are more than 2^32 - 1");
  }

  /// Iterations of an epoch. Where P members take their minibatches from one order (all of them with MemberData::own,
  /// else each for itself, so that P = 1), each iteration takes P * batch samples of it; the r samples that remain form
  /// a last, smaller one of r / P (rounded down) per member, if that is not zero. One sample per member, of which batch
  /// norm could learn nothing, joins the iteration before, unless batches are of one sample anyway. So an epoch leaves
  /// out r mod P samples, others each time, and no more. Throws OptionError unless 0 < members, and with
  /// MemberData::own members <= the number of images.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const {
    const std::int64_t full = per_member(members) * sharing(members);
    return count_ / full + (count_ % full >= sharing(members) && !joins(members));
  }
  /// Whether an epoch's last iteration has a sample more per member than the others: one that would have been left
  /// over.
  [[nodiscard]] bool joins(std::int64_t members) const {
    const std::int64_t batch = per_member(members), parts = sharing(members);
    return batch > 1 && count_ % (batch * parts) / parts == 1;
  }
  /// Most samples per member of an iteration.
  [[nodiscard]] std::int64_t largest(std::int64_t members) const { return per_member(members) + joins(members); }
  /// Samples that an epoch visits with so many members, but for those that it leaves out.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const {
    return options_.member_data == MemberData::own ? count_ : count_ * members;
  }
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
  /// Samples per member of iteration `iteration` of an epoch, from 0 to iterations(members) - 1.
  [[nodiscard]] std::int64_t batch(std::int64_t members, std::int64_t iteration) const {
    const std::int64_t full = per_member(members), parts = sharing(members),
                       left = (count_ - iteration * parts * full) / parts;
    return left == full + 1 && joins(members) ? left : std::min(full, left);
  }
  /// epoch_order, or the stored order without shuffle.
  [[nodiscard]] Orders orders(std::int64_t epoch, std::int64_t members) const {
    const std::int64_t count = options_.member_data == MemberData::whole ? members : 1;
    Orders orders;
    for (std::int64_t k = 0; k < count; ++k) orders.push_back(order(epoch, seed(k)));
    return orders;
  }
  /// The samples [members * batch] of an iteration, member after member.
  [[nodiscard]] std::vector<std::int64_t> chosen(const Orders& orders, std::int64_t members,
                                                 std::int64_t iteration) const {
    const std::int64_t size = batch(members, iteration), first = iteration * sharing(members) * per_member(members);
    std::vector<std::int64_t> result;
    result.reserve(to_size(members * size));
    for (std::int64_t k = 0; k < members; ++k) {
      const auto& order = orders[orders.size() == 1 ? 0 : to_size(k)];
      const std::int64_t begin = first + (options_.member_data == MemberData::own ? k * size : 0);
      result.insert(result.end(), order.begin() + begin, order.begin() + begin + size);
    }
    return result;
  }
  /// Of member k's order and augmentation.
  [[nodiscard]] std::uint64_t seed(std::int64_t k) const {
    return options_.member_data == MemberData::whole ? member_seed(options_.seed, k) : options_.seed;
  }

 private:
  /// Members that take their minibatches from one order, one after another.
  [[nodiscard]] std::int64_t sharing(std::int64_t members) const {
    return options_.member_data == MemberData::own ? members : 1;
  }
  [[nodiscard]] std::int64_t per_member(std::int64_t members) const {
    const bool own = options_.member_data == MemberData::own;
    require<OptionError>(members > 0 && (!own || members <= count_), "loader: expected from 1 to ", count_,
                         " members (one image each), found ", members);
    return std::min(options_.batch, count_ / sharing(members));
  }
  [[nodiscard]] std::vector<std::int64_t> order(std::int64_t epoch, std::uint64_t seed) const {
    if (options_.shuffle) return epoch_order(count_, seed, static_cast<std::uint32_t>(epoch));
    std::vector<std::int64_t> order(to_size(count_));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    return order;
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
  /// As MinibatchPlan::samples.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const { return plan_.samples(members); }

  /// The batches of an epoch from iteration `first_iteration` on; they do not depend on where one starts. The order is
  /// epoch_order(set.count, seed, epoch), or the stored one without shuffle: member k of iteration i gets its entries
  /// from (i K + k) B on, with MemberData::same those from i B on, and with MemberData::whole those of the order of
  /// member_seed(seed, k), which augments them too. Throws OptionError for an argument out of range.
  [[nodiscard]] Epoch epoch(std::int64_t epoch, std::int64_t members = 1, std::int64_t first_iteration = 0) const& {
    return Epoch(
        plan_.iterations_from(epoch, members, first_iteration),
        [this, members, first_iteration, epoch, orders = MinibatchPlan::Orders()](std::int64_t i) mutable {
          if (orders.empty()) orders = plan_.orders(epoch, members);  // in the background thread
          return make_batch(orders, static_cast<std::uint32_t>(epoch), members, first_iteration + i);
        },
        batches_ahead(members));
  }
  Epoch epoch(std::int64_t, std::int64_t = 1, std::int64_t = 0) const&& = delete;

 private:
  [[nodiscard]] Batch<T> make_batch(const MinibatchPlan::Orders& orders, std::uint32_t epoch, std::int64_t members,
                                    std::int64_t iteration) const {
    const std::int64_t batch = plan_.batch(members, iteration),
                       made = options_.member_data == MemberData::same ? 1 : members;
    const auto chosen = plan_.chosen(orders, members, iteration);
    Batch<T> result{Tensor<T, Cpu>({members, batch, set_->height, set_->width, set_->channels}),
                    Tensor<std::int32_t, Cpu>({members, batch})};
    for (std::int64_t j = 0; j < made * batch; ++j) {
      const std::int64_t index = chosen[to_size(j)];
      const auto how =
          draw_augmentation(options_.augment, plan_.seed(j / batch), epoch, index, set_->height, set_->width);
      augment(set_->image(index), set_->height, set_->width, how, table_,
              result.images.data() + j * set_->image_size());
      result.labels.data()[j] = set_->labels[to_size(index)];
    }
    for (std::int64_t k = made; k < members; ++k) {
      std::copy_n(result.images.data(), batch * set_->image_size(), result.images.row(k));
      std::copy_n(result.labels.data(), batch, result.labels.row(k));
    }
    return result;
  }

  /// Two hide any jitter; of large batches, whose steps take long, one does, and two would hold much memory.
  [[nodiscard]] std::size_t batches_ahead(std::int64_t members) const {
    constexpr std::size_t large = std::size_t{4} << 20;
    const std::int64_t images = members * plan_.batch(members, 0);
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
