#include "emulator/kernel_check.hpp"

#include <lpw/kernels/augment.cuh>

#include <lpw/data/augment.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

/// Images of random bytes, with a label each.
[[nodiscard]] data::ImageSet random_images(std::int64_t count, std::int64_t height, std::int64_t width,
                                           std::int64_t channels) {
  data::ImageSet set{.count = count,
                     .height = height,
                     .width = width,
                     .channels = channels,
                     .classes = 100,
                     .pixels = {},
                     .labels = {}};
  const Philox random(5, Stream::test);
  for (std::int64_t i = 0; i < count * set.image_size(); ++i)
    set.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  for (std::int64_t i = 0; i < count; ++i)
    set.labels.push_back(static_cast<std::int32_t>(random.below(1000000 + i, 100)));
  return set;
}

[[nodiscard]] data::Normalization normalization_of(std::int64_t channels) {
  data::Normalization result;
  for (std::int64_t c = 0; c < channels; ++c) {
    result.mean.push_back(0.4f + 0.01f * static_cast<float>(c));
    result.stddev.push_back(0.2f + 0.02f * static_cast<float>(c));
  }
  return result;
}

/// What the host looks up; half, which the host's table does not have, is rounded from float.
template <class T>
using HostType = std::conditional_t<std::is_same_v<T, half>, float, T>;

}  // namespace

TEMPLATE_TEST_CASE("the kernel augment makes the host's minibatch to the bit", "[augment]", float, bfloat16, half) {
  struct Size {
    std::int64_t height, width, channels;
  };
  constexpr data::AugmentOptions recipes[] = {data::pad_crop_flip,
                                              data::no_augmentation,
                                              {.pad_crop = 2, .flip = false, .cutout = 5},
                                              {.pad_crop = 0, .flip = true, .cutout = 4}};
  for (const Size& size :
       {Size{32, 32, 3}, Size{8, 16, 1}, Size{7, 5, 3}, Size{8, 6, 3}, Size{6, 9, 5}, Size{5, 5, 17}})
    for (const auto& options : recipes) {
      const std::int64_t images = 40, samples = 13, height = size.height, width = size.width, channels = size.channels;
      const auto set = random_images(images, height, width, channels);
      const data::NormalizationTable<HostType<TestType>> table(normalization_of(channels), channels);
      Tensor<TestType, Cpu> values({channels, 256});
      for (std::int64_t c = 0; c < channels; ++c)
        for (int v = 0; v < 256; ++v) values.row(c)[v] = TestType(float(table(static_cast<std::uint8_t>(v), c)));
      Tensor<std::int64_t, Cpu> index({samples});
      for (std::int64_t i = 0; i < samples; ++i) index.data()[i] = i * 29 % images;

      Tensor<HostType<TestType>, Cpu> expected({samples, height, width, channels});
      Tensor<std::int32_t, Cpu> expected_labels({samples});
      constexpr std::uint64_t seed = 77;
      constexpr std::uint32_t epoch = 3;
      for (std::int64_t i = 0; i < samples; ++i) {
        const auto how = data::draw_augmentation(options, seed, epoch, index.data()[i], height, width);
        data::augment(set.image(index.data()[i]), height, width, how, table, expected.row(i));
        expected_labels.data()[i] = set.labels[index.data()[i]];
      }

      with_widths<TestType>(set.image_size() % widest<TestType> == 0, [&](auto N) {
        INFO("H " << height << " W " << width << " C " << channels << " width of access " << N << " pad_crop "
                  << options.pad_crop << " flip " << options.flip << " cutout " << options.cutout);
        auto out = unwritten<TestType>(expected.shape());
        auto labels = unwritten<std::int32_t>({samples});
        kernels::Augment<TestType> p{set.pixels.data(), set.labels.data(),
                                     index.data(),      values.data(),
                                     out.data(),        labels.data(),
                                     samples,           int(height),
                                     int(width),        int(channels),
                                     options.pad_crop,  options.flip,
                                     options.cutout,    Philox(seed, Stream::crop, epoch)};
        const auto kernel = [&] { kernels::augment<TestType, N()>(p); };
        CHECK(same_on_any_order(small_plan(set.image_size() / N, 7), kernel, out, labels));
        CHECK(same_values(out, converted<TestType>(expected), Nan::equals_nan));
        CHECK(same_values(labels, expected_labels, Nan::equals_nan));
      });
    }
}

TEST_CASE("the kernel augment draws what draw_augmentation draws, for any size", "[augment]") {
  int wrong = 0;
  for (std::uint32_t epoch = 0; epoch < 200; ++epoch) {
    const data::AugmentOptions options{.pad_crop = int(epoch % 9), .flip = epoch % 2 == 0, .cutout = int(epoch % 17)};
    const std::int64_t height = 17 + epoch % 23, width = 17 + epoch % 31;
    const kernels::Augment<float> p{nullptr,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    0,
                                    int(height),
                                    int(width),
                                    1,
                                    options.pad_crop,
                                    options.flip,
                                    options.cutout,
                                    Philox(12345678901u, Stream::crop, epoch)};
    for (std::int64_t i = 0; i < 50; ++i) {
      const std::int64_t image = i * 987654321;
      const auto expected = data::draw_augmentation(options, 12345678901u, epoch, image, height, width);
      const kernels::detail::SampleChange found(p, image);
      wrong += found.shift_y != expected.shift_y || found.shift_x != expected.shift_x || found.flip != expected.flip;
      if (options.cutout > 0)
        wrong += found.cut_top != expected.cut_top || found.cut_bottom != expected.cut_bottom ||
                 found.cut_left != expected.cut_left || found.cut_right != expected.cut_right;
    }
  }
  CHECK(wrong == 0);
}
