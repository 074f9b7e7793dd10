// Minibatches of images: what batch_loader.hpp makes of any samples, of labelled images that are augmented and
// normalised on the way.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/data/augment.hpp>
#include <lpw/data/batch_loader.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/data/in_threads.hpp>

namespace lpw::inline LPW_ABI::data {

/// One minibatch for each of K members.
template <class T, class Device = Cpu>
struct Batch {
  Tensor<T, Device> images;             // [K, B, H, W, C]
  Tensor<std::int32_t, Device> labels;  // [K, B]
  /// Both, for what works on any minibatch (BatchLoader).
  [[nodiscard]] auto tensors() { return std::tie(images, labels); }
};

/// How an epoch of images is cut into minibatches.
struct LoaderOptions {
  std::int64_t batch =
      128;  // samples per member and iteration; the last may have fewer, or one more (see MinibatchPlan::iterations)
  AugmentOptions augment = no_augmentation;  // changes to the images
  bool shuffle = true;                       // each epoch in an order of its own
  std::uint64_t seed = 0;                    // of order and augmentation
  MemberData member_data = MemberData::own;  // whether members read minibatches of their own
  int threads = 0;                           // that decode images of a source; 0: max_threads()

  /// The same of samples of any kind.
  [[nodiscard]] constexpr operator MinibatchOptions() const { return {batch, shuffle, seed, member_data}; }
};

/// Options for evaluation: every sample exactly once, in stored order, as it is. Use with members = 1.
[[nodiscard]] constexpr LoaderOptions evaluation(std::int64_t batch = 500) {
  return {.batch = batch, .shuffle = false};
}

/// Reads images of a set's source, in threads of its own.
class SourceReader {
 public:
  /// It refers to the set, which must have a source. 0 threads: max_threads().
  SourceReader(const ImageSet& set, const AugmentOptions& options, int threads)
      : set_(&set), options_(options), threads_(threads > 0 ? threads : max_threads()) {}

  /// Calls f(j, pixels [H, W, C]) for the first `count` samples j, in any order.
  template <class F>
  void for_each(const Minibatch& minibatch, std::int64_t count, F&& f) const {
    in_threads(threads_, count, [&](std::int64_t j) {
      const std::int64_t index = minibatch.samples[to_size(j)];
      std::vector<std::uint8_t> pixels(to_size(set_->image_size()));
      if (options_.resized_crop) {
        const CropDraw draw{*options_.resized_crop, minibatch.random_of(j / minibatch.batch), index};
        set_->source->read(index, &draw, pixels.data());
      } else {
        set_->source->read(index, nullptr, pixels.data());
      }
      f(j, pixels.data());
    });
  }

 private:
  const ImageSet* set_;
  AugmentOptions options_;
  int threads_;
};

/// Makes minibatches of a set of images, which it refers to.
template <Real T>
class ImageBatches {
 public:
  /// Throws Error for a set that contradicts itself, OptionError for options that do not fit it.
  ImageBatches(const ImageSet& set, const Normalization& normalization, const AugmentOptions& options, int threads = 0)
      : set_(&set), table_(normalization, set.channels), options_(options), reader_(set, options, threads) {
    validate(set);
    validate(options, set);
  }

  /// The images that they are made of.
  [[nodiscard]] const ImageSet& set() const { return *set_; }

  /// As the loader's: K members' samples, augmented and normalised.
  [[nodiscard]] Batch<T> operator()(const Minibatch& minibatch) const {
    const std::int64_t members = minibatch.members, batch = minibatch.batch, made = minibatch.alike ? 1 : members;
    Batch<T> result{Tensor<T, Cpu>({members, batch, set_->height, set_->width, set_->channels}),
                    Tensor<std::int32_t, Cpu>({members, batch})};
    const auto put = [&](std::int64_t j, const std::uint8_t* pixels) {
      const std::int64_t index = minibatch.samples[to_size(j)];
      const auto how = draw_augmentation(options_, minibatch.random_of(j / batch), index, set_->height, set_->width);
      augment(pixels, set_->height, set_->width, how, table_, result.images.data() + j * set_->image_size());
      result.labels.data()[j] = set_->labels[to_size(index)];
    };
    if (set_->source)
      reader_.for_each(minibatch, made * batch, put);
    else
      for (std::int64_t j = 0; j < made * batch; ++j) put(j, set_->image(minibatch.samples[to_size(j)]));
    for (std::int64_t k = made; k < members; ++k) {
      std::copy_n(result.images.data(), batch * set_->image_size(), result.images.row(k));
      std::copy_n(result.labels.data(), batch, result.labels.row(k));
    }
    return result;
  }

 private:
  const ImageSet* set_;
  NormalizationTable<T> table_;
  AugmentOptions options_;
  SourceReader reader_;
};

/// Turns a set of images into epochs of batches. It refers to the set, which must outlive it, as it must outlive its
/// epochs.
///
///     for (auto& [images, labels] : loader.epoch(epoch, members)) ...
template <Real T>
class Loader {
 public:
  /// Of minibatches that are made ahead.
  using Epoch = Prefetch<Batch<T>>;

  /// Throws Error for a set that contradicts itself, OptionError for options that do not fit it.
  Loader(const ImageSet& set, const Normalization& normalization, const LoaderOptions& options = {})
      : loader_(set.count, ImageBatches<T>(set, normalization, options.augment, options.threads), options),
        options_(options) {}
  Loader(ImageSet&&, const Normalization&, const LoaderOptions& = {}) = delete;

  /// The set that is read.
  [[nodiscard]] const ImageSet& set() const { return loader_.make().set(); }
  /// As the loader was made.
  [[nodiscard]] const LoaderOptions& options() const { return options_; }

  /// Who reads which images.
  [[nodiscard]] const MinibatchPlan& plan() const { return loader_.plan(); }
  /// As MinibatchPlan.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const { return loader_.iterations(members); }
  /// As MinibatchPlan::joins.
  [[nodiscard]] bool joins(std::int64_t members) const { return loader_.plan().joins(members); }
  /// As MinibatchPlan::samples.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const { return loader_.samples(members); }

  /// As BatchLoader::epoch: the order is epoch_order(set.count, seed, epoch), or the stored one without shuffle, and
  /// with MemberData::whole, those of member_seed(seed, k), which augments them too.
  [[nodiscard]] Epoch epoch(std::int64_t epoch, const ReadMembers& members = 1,
                            std::int64_t first_iteration = 0) const& {
    return loader_.epoch(epoch, members, first_iteration, batches_ahead(members));
  }
  Epoch epoch(std::int64_t, const ReadMembers& = 1, std::int64_t = 0) const&& = delete;
  /// The same from a place on.
  [[nodiscard]] Epoch epoch(const Place& place, const ReadMembers& members = 1) const& {
    return epoch(place.epoch, members, place.iteration);
  }
  Epoch epoch(const Place&, const ReadMembers& = 1) const&& = delete;

 private:
  /// Two hide any jitter; of large batches, whose steps take long, one does, and two would hold much memory.
  [[nodiscard]] std::size_t batches_ahead(const ReadMembers& members) const {
    constexpr std::size_t large = std::size_t{4} << 20;
    const std::int64_t images = members.count * loader_.plan().batch(members.all, 0);
    return static_cast<std::size_t>(images * set().image_size()) * sizeof(T) > large ? 1 : 2;
  }

  BatchLoader<ImageBatches<T>> loader_;
  LoaderOptions options_;
};

/// The loader of batches for a device.
template <Real T, class Device>
struct LoaderFor;
/// On the processor batches are made by threads, ahead of their use.
template <Real T>
struct LoaderFor<T, Cpu> {
  /// The loader.
  using type = Loader<T>;
};

}  // namespace lpw::inline LPW_ABI::data
