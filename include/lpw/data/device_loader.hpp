// Minibatches made on the GPU: the images stay there as bytes, or, where they do not fit, in host memory that the GPU
// reads; a minibatch's indices are all that is sent, and a kernel augments and normalises. The next minibatch is made
// while the present one is trained on. Images of a source are decoded by the host's threads, ahead of their use, and
// sent as bytes. Values are the CPU loader's, bit for bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <lpw/cuda/augment.hpp>
#include <lpw/cuda/base/device_bytes.hpp>
#include <lpw/data/loader.hpp>

namespace lpw::inline LPW_ABI::data {

/// As Loader, for batches on the GPU. Batches alternate between two buffers that stay where they are, so that a
/// captured step finds its input again: a batch is valid until the next but one.
template <Real T>
class DeviceLoader {
  struct Slot {
    Tensor<T, Cuda> images;
    Tensor<std::int32_t, Cuda> labels;
    Tensor<std::int64_t, Cuda> index;
    cuda::PinnedArray<std::int64_t> host_index;
    Tensor<std::uint8_t, Cuda> bytes;  // of a source's images
    cuda::PinnedArray<std::uint8_t> host_bytes;
    cuda::Event ready, sent, used;  // made; its indices copied; free to be overwritten
  };

 public:
  class Epoch;

  /// As Loader. Throws OutOfMemory or CudaError besides.
  DeviceLoader(const ImageSet& set, const Normalization& normalization, const LoaderOptions& options = {})
      : set_(&checked(set, options)),
        plan_(set.count, options),
        options_(options),
        reader_(set, options.augment, options.threads) {
    if (!set.source) bytes_.emplace(set.pixels);
    const NormalizationTable<T> table(normalization, set.channels);
    table_ = to_device<Cuda>(tensor_of<T>({set.channels, 256}, table.values()));
    labels_ = to_device<Cuda>(tensor_of<std::int32_t>({set.count}, set.labels));
  }
  DeviceLoader(ImageSet&&, const Normalization&, const LoaderOptions& = {}) = delete;
  ~DeviceLoader() { cuda::disregard(cudaDeviceSynchronize()); }

  /// As Loader's, like the next five.
  [[nodiscard]] const ImageSet& set() const { return *set_; }
  /// As Loader's.
  [[nodiscard]] const LoaderOptions& options() const { return options_; }
  /// As Loader's.
  [[nodiscard]] const MinibatchPlan& plan() const { return plan_; }
  /// As Loader's.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const { return plan_.iterations(members); }
  /// As Loader's.
  [[nodiscard]] bool joins(std::int64_t members) const { return plan_.joins(members); }
  /// As Loader's.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const { return plan_.samples(members); }

  /// As Loader::epoch. One epoch at a time: a new one takes over the buffers.
  [[nodiscard]] Epoch epoch(std::int64_t epoch, const ReadMembers& members = 1,
                            std::int64_t first_iteration = 0) const& {
    return Epoch(*this, epoch, members, first_iteration);
  }
  /// The same from a place on.
  [[nodiscard]] Epoch epoch(const Place& place, const ReadMembers& members = 1) const& {
    return epoch(place.epoch, members, place.iteration);
  }

 private:
  static const ImageSet& checked(const ImageSet& set, const LoaderOptions& options) {
    validate(set);
    validate(options.augment, set);
    return set;
  }

  /// Images of a source as bytes, a minibatch's one after another.
  [[nodiscard]] std::vector<std::uint8_t> decoded(const Minibatch& minibatch) const {
    const std::int64_t size = set_->image_size(), samples = std::ssize(minibatch.samples),
                       made = minibatch.alike ? minibatch.batch : samples;
    std::vector<std::uint8_t> bytes(to_size(samples * size));
    reader_.for_each(minibatch, made, [&](std::int64_t j, const std::uint8_t* pixels) {
      std::copy_n(pixels, size, bytes.data() + j * size);
    });
    for (std::int64_t j = made; j < samples; j += made) std::copy_n(bytes.data(), made * size, bytes.data() + j * size);
    return bytes;
  }

  /// Makes room for batches of `samples`; addresses change only here.
  void reserve(std::int64_t samples) const {
    if (slots_[0].images.size() >= samples * set_->image_size()) return;
    cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // the copy stream may still use what is there
    for (Slot& slot : slots_) {
      slot.images = Tensor<T, Cuda>({samples, set_->image_size()});
      slot.labels = Tensor<std::int32_t, Cuda>({samples});
      slot.index = Tensor<std::int64_t, Cuda>({samples});
      slot.host_index = cuda::PinnedArray<std::int64_t>(static_cast<std::size_t>(samples));
      if (!set_->source) continue;
      slot.bytes = Tensor<std::uint8_t, Cuda>({samples, set_->image_size()});
      slot.host_bytes = cuda::PinnedArray<std::uint8_t>(static_cast<std::size_t>(samples * set_->image_size()));
    }
  }

  /// Has a slot filled on the copy stream with an iteration's samples, of whose source `decoded` are the images.
  void make(Slot& slot, const MinibatchPlan::Orders& orders, std::uint32_t epoch, const ReadMembers& members,
            std::int64_t iteration, const std::vector<std::uint8_t>* decoded) const {
    const auto chosen = plan_.chosen(orders, members, iteration);
    slot.sent.wait();
    std::copy(chosen.begin(), chosen.end(), slot.host_index.data());
    const cudaStream_t on = cuda::copy_stream();
    slot.used.hold(on);
    cuda::check(cudaMemcpyAsync(slot.index.data(), slot.host_index.data(), chosen.size() * sizeof(std::int64_t),
                                cudaMemcpyHostToDevice, on),
                "cudaMemcpyAsync");
    if (decoded != nullptr) {
      std::copy(decoded->begin(), decoded->end(), slot.host_bytes.data());
      cuda::check(
          cudaMemcpyAsync(slot.bytes.data(), slot.host_bytes.data(), decoded->size(), cudaMemcpyHostToDevice, on),
          "cudaMemcpyAsync");
    }
    slot.sent.record(on);
    // each member's samples by its own random numbers, or all by the same
    const std::int64_t samples = std::ssize(chosen), parts = std::ssize(orders);
    for (std::int64_t k = 0; k < parts; ++k)
      augment(slot, k * (samples / parts), samples / parts, Philox(plan_.seed(members.first + k), Stream::crop, epoch),
              on);
    slot.ready.record(on);
  }

  /// Makes `samples` samples from number `first` on.
  void augment(Slot& slot, std::int64_t first, std::int64_t samples, const Philox& random, cudaStream_t on) const {
    const kernels::Augment<T> p{.images = bytes_ ? bytes_->data() : slot.bytes.data() + first * set_->image_size(),
                                .labels = labels_.data(),
                                .index = slot.index.data() + first,
                                .table = table_.data(),
                                .out = slot.images.data() + first * set_->image_size(),
                                .out_labels = slot.labels.data() + first,
                                .samples = samples,
                                .height = static_cast<int>(set_->height),
                                .width = static_cast<int>(set_->width),
                                .channels = static_cast<int>(set_->channels),
                                .pad_crop = options_.augment.pad_crop,
                                .flip = options_.augment.flip,
                                .cutout = options_.augment.cutout,
                                .random = random,
                                .of_samples = !bytes_};
    cuda::augment(p, on);
  }

  const ImageSet* set_;
  MinibatchPlan plan_;
  LoaderOptions options_;
  SourceReader reader_;
  std::optional<cuda::DeviceBytes> bytes_;  // of images in memory
  Tensor<T, Cuda> table_;
  Tensor<std::int32_t, Cuda> labels_;
  mutable std::array<Slot, 2> slots_;  // the buffers of the epoch under way
};

/// A single-pass range of batches.
template <Real T>
class DeviceLoader<T>::Epoch {
 public:
  /// Goes through the epoch once; a minibatch stays valid until the next increment.
  class iterator {
   public:
    using value_type = Batch<T, Cuda>;
    using difference_type = std::ptrdiff_t;

    /// At the batch that the range stands at.
    explicit iterator(Epoch& range) : range_(&range) {}
    [[nodiscard]] Batch<T, Cuda>& operator*() const { return range_->current_; }
    iterator& operator++() {
      range_->advance();
      return *this;
    }
    void operator++(int) { range_->advance(); }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const { return range_->next_ > range_->last_; }

   private:
    Epoch* range_;
  };

  /// Of all K members or some of them, from iteration `first_iteration` on.
  Epoch(const DeviceLoader& loader, std::int64_t epoch, const ReadMembers& members, std::int64_t first_iteration)
      : loader_(&loader),
        epoch_(static_cast<std::uint32_t>(epoch)),
        members_(members),
        next_(first_iteration),
        last_(first_iteration + loader.plan_.iterations_from(epoch, members.all, first_iteration)),
        orders_(loader.plan_.orders(epoch, members)) {
    loader.reserve(loader.plan_.largest(members.all) * members.count);
    if (loader.set_->source)
      decoded_.emplace(last_ - first_iteration, [this, first_iteration](std::int64_t i) {
        return loader_->decoded(loader_->plan_.minibatch(orders_, epoch_, members_, first_iteration + i));
      });
    for (Slot& slot : loader.slots_) slot.used.record(cuda::stream());  // whatever an epoch before did with it
  }

  [[nodiscard]] iterator begin() {
    make(next_);
    advance();
    return iterator(*this);
  }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  [[nodiscard]] Slot& slot(std::int64_t iteration) const {
    return loader_->slots_[static_cast<std::size_t>(iteration % 2)];
  }

  /// Starts on an iteration's batch, if there is one.
  void make(std::int64_t iteration) {
    if (iteration >= last_) return;
    if (!decoded_) return loader_->make(slot(iteration), orders_, epoch_, members_, iteration, nullptr);
    if (at_)
      ++*at_;
    else
      at_.emplace(decoded_->begin());
    loader_->make(slot(iteration), orders_, epoch_, members_, iteration, &**at_);
  }

  /// Makes iteration next_ the current one, and has the one after it made, in the buffer of the one before.
  void advance() {
    const std::int64_t now = next_++;
    if (now >= last_) return;
    slot(now + 1).used.record(cuda::stream());
    make(now + 1);
    const Slot& ready = slot(now);
    ready.ready.hold(cuda::stream());
    const ImageSet& set = *loader_->set_;
    const std::int64_t members = members_.count,
                       batch = members_.samples_of(loader_->plan_.batch(members_.all, now)).first;
    current_ = {ready.images.rows(0, members * batch).reshaped({members, batch, set.height, set.width, set.channels}),
                ready.labels.rows(0, members * batch).reshaped({members, batch})};
  }

  const DeviceLoader* loader_;
  std::uint32_t epoch_;
  ReadMembers members_;
  std::int64_t next_, last_;  // next_: one past the current iteration
  MinibatchPlan::Orders orders_;
  Batch<T, Cuda> current_;
  std::optional<Prefetch<std::vector<std::uint8_t>>> decoded_ = {};  // of a source
  std::optional<typename Prefetch<std::vector<std::uint8_t>>::iterator> at_ = {};
};

/// On the GPU batches are made there.
template <Real T>
struct LoaderFor<T, Cuda> {
  /// The loader.
  using type = DeviceLoader<T>;
};

}  // namespace lpw::inline LPW_ABI::data
