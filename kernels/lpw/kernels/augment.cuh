// From stored images (bytes) to a minibatch: padded random crop, horizontal flip, normalisation, cutout, and the
// labels, in one pass. The decisions are drawn as lpw::data::draw_augmentation draws them and bytes are looked up in
// lpw::data::NormalizationTable's values, so host and device make the same minibatch to the bit. Every thread draws its
// sample's four numbers itself: cheaper than handing them on.
#pragma once

#include <lpw/kernels/elements.cuh>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct Augment {
  const std::uint8_t* images;  // (image, row, column, channel), or of the samples alone
  const std::int32_t* labels;  // (image); null: none wanted
  const std::int64_t* index;   // (sample): which image
  const T* table;              // (channel, 256): each byte normalised
  T* out;                      // (sample, row, column, channel)
  std::int32_t* out_labels;    // (sample)
  std::int64_t samples;
  int height, width, channels;
  int pad_crop;  // pixels, 0 for none
  bool flip;
  int cutout;               // side of the square, 0 for none
  Philox random;            // Stream::crop of the epoch
  bool of_samples = false;  // whether `images` are the samples', in their order
};

namespace detail {

/// What happens to one sample, as in lpw::data::Augmentation.
struct SampleChange {
  int shift_y, shift_x;
  bool flip;
  int cut_top, cut_bottom, cut_left, cut_right;

  [[nodiscard]] __device__ __forceinline__ static int below(std::uint32_t word, std::int64_t bound) {
    return static_cast<int>((std::uint64_t{word} * static_cast<std::uint64_t>(bound)) >> 32);
  }
  [[nodiscard]] __device__ __forceinline__ static int clamped(int value, int high) {
    return value < 0 ? 0 : value > high ? high : value;
  }

  template <class T>
  __device__ __forceinline__ SampleChange(const Augment<T>& p, std::int64_t image) {
    const Philox::Block bits = p.random(static_cast<std::uint64_t>(image));
    shift_y = below(bits[0], 2 * p.pad_crop + 1) - p.pad_crop;
    shift_x = below(bits[1], 2 * p.pad_crop + 1) - p.pad_crop;
    flip = p.flip && bits[2] >> 31;
    const int centre = below(bits[3], static_cast<std::int64_t>(p.height) * p.width);
    const int top = centre / p.width - p.cutout / 2, left = centre % p.width - p.cutout / 2;
    cut_top = clamped(top, p.height);
    cut_bottom = clamped(top + p.cutout, p.height);
    cut_left = clamped(left, p.width);
    cut_right = clamped(left + p.cutout, p.width);
  }

  [[nodiscard]] __device__ __forceinline__ bool cuts(int y, int x) const {
    return y >= cut_top && y < cut_bottom && x >= cut_left && x < cut_right;
  }
};

/// Element (y, x, c) of a sample.
template <class T>
[[nodiscard]] __device__ __forceinline__ T augmented(const Augment<T>& p, const SampleChange& change,
                                                     const std::uint8_t* image, int y, int x, int c) {
  if (change.cuts(y, x)) return T(0.f);
  const int row = y + change.shift_y, column = (change.flip ? p.width - 1 - x : x) + change.shift_x;
  const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
  const int value = inside ? image[(row * p.width + column) * p.channels + c] : 0;
  return p.table[c * 256 + value];
}

}  // namespace detail

/// N is widest<T>, or 1 if H W C is not a multiple of that or the address of `out` not aligned to 16 bytes. An image
/// has fewer than 2^31 elements.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) augment(const Augment<T> p) {
  const std::int64_t size = static_cast<std::int64_t>(p.height) * p.width * p.channels;
  const Stride at = Stride::of(size / N);
  for (std::int64_t sample = blockIdx.y; sample < p.samples; sample += gridDim.y) {
    const std::int64_t which = p.index[sample];
    const std::uint8_t* image = p.images + (p.of_samples ? sample : which) * size;
    const detail::SampleChange change(p, which);
    if (p.labels && blockIdx.x == 0 && threadIdx.x == 0) p.out_labels[sample] = p.labels[which];
    for (int step = 0; step < at.steps; ++step) {
      const auto first = static_cast<unsigned>(at[step] * N), pixel = first / static_cast<unsigned>(p.channels);
      int c = static_cast<int>(first % static_cast<unsigned>(p.channels));
      int y = static_cast<int>(pixel / static_cast<unsigned>(p.width)),
          x = static_cast<int>(pixel % static_cast<unsigned>(p.width));
      Vector<T, N> out;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        out[j] = detail::augmented(p, change, image, y, x, c);
        if (++c < p.channels) continue;
        c = 0;
        if (++x < p.width) continue;
        x = 0;
        ++y;
      }
      store_vector(p.out + sample * size + at[step] * N, out);
    }
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
