// What Winograd's convolutions sum besides, and how far an outlier reaches.
#include <lpw/cpu/winograd/convolution.hpp>

#include <algorithm>
#include <cstring>

#include <lpw/cpu/batch_norm.hpp>
#include <lpw/cpu/conv2d.hpp>

#include "catch.hpp"
#include "cpu/winograd_case.hpp"
#include "support/engines.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// What convolutions sum besides: moments of y + residual, and dx's sums for the batch norm that is pending on x.
template <class T>
struct Summed {
  Activation<T, Cpu> y;
  Gradient<T, Cpu> dx;
  Tensor<double, Cpu> sums;

  /// dx is added to fixed values if `accumulate`.
  Summed(const WinogradCase& c, const Activation<float, Cpu>& x, const Tensor<float, Cpu>& residual,
         bool accumulate = true)
      : dx{random_tensor<T>(c.x_shape(), 6), accumulate} {
    const Activation<T, Cpu> in{converted<T>(x.raw), x.mean, x.scale, x.shift, x.relu};
    y = conv2d_forward(in, c.weight(), c.options(), residual.empty() ? Tensor<T, Cpu>() : converted<T>(residual), true);
    sums = conv2d_backward_data(converted<T>(c.dy()), c.weight(), c.options(), dx, in);
  }
  [[nodiscard]] std::vector<std::vector<double>> values() const {
    return {values_of(y.raw), values_of(y.moments.mean), values_of(y.moments.variance), values_of(sums)};
  }
};

/// Moments of y and sums over dx in double, from what was stored. A sum's error is float's rounding over the some
/// hundred terms of a group, 1e-6 of the sum of the terms' sizes; a variance's terms are squared distances from the
/// group's first pixel, which lies some deviations from the mean: at most 10 squared ones per pixel with these
/// operands.
template <class T>
void check_sums(const WinogradCase& c, const Activation<float, Cpu>& x, const Summed<T>& found) {
  Worst mean, variance, sum, product;  // as parts of what is allowed
  const auto exact = batch_moments(converted<double>(found.y.raw));
  REQUIRE(found.y.moments.mean.shape() == exact.mean.shape());
  for (std::int64_t i = 0; i < exact.mean.size(); ++i) {
    const double square = exact.variance.data()[i];
    mean.add(i, found.y.moments.mean.data()[i], exact.mean.data()[i],
             1e-6 * (std::abs(exact.mean.data()[i]) + std::sqrt(square)));
    variance.add(i, found.y.moments.variance.data()[i], square, 1e-5 * square);
  }
  REQUIRE(found.sums.shape() == Shape{c.members, 2, c.channels});
  const auto stored = converted<T>(x.raw);
  const std::int64_t rows = c.batch * c.height * c.width;
  for (std::int64_t column = 0; column < c.members * c.channels; ++column) {
    const std::int64_t k = column / c.channels, channel = column % c.channels;
    double g_sum = 0, d_sum = 0, g_size = 0, d_size = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t i = (k * rows + r) * c.channels + channel;
      const float in = float(stored.data()[i]);
      const double g = centred(in, x.mean.data()[column], x.scale.data()[column], x.shift.data()[column]) > 0
                           ? double(found.dx.tensor.data()[i])
                           : 0;
      const double d = g * (double(in) - double(x.mean.data()[column]));
      g_sum += g, d_sum += d, g_size += std::abs(g), d_size += std::abs(d);
    }
    sum.add(column, found.sums.row(k)[channel], g_sum, 1e-6 * g_size);
    product.add(column, found.sums.row(k)[c.channels + channel], d_sum, 1e-6 * d_size);
  }
  CHECK(mean <= 1);
  CHECK(variance <= 1);
  CHECK(sum <= 1);
  CHECK(product <= 1);
}

/// As uneven_tiles with stride 2, and channels for which that pays.
WinogradCase strided(WinogradCase c) {
  c.stride = 2;
  c.channels = 64;
  c.out_channels = 128;
  return c;
}

}  // namespace

TEST_CASE("Winograd: moments of the outputs and sums over the gradient, summed as they are stored", "[winograd]") {
  struct Image {
    std::int64_t stride, height, width, padding, rows;
  };
  // Groups of 4, 1, 3 tiles and of all of an image's; tiles cut at the edge; paddings where a phase starts outside.
  for (const Image& image :
       {Image{1, 13, 16, 1, 1}, Image{1, 16, 16, 1, 2}, Image{1, 20, 20, 1, 1}, Image{1, 12, 12, 1, 2},
        Image{1, 12, 16, 1, 1}, Image{1, 18, 17, 0, 1}, Image{1, 15, 18, 2, 2}, Image{2, 13, 16, 1, 2},
        Image{2, 24, 24, 1, 1}, Image{2, 40, 40, 1, 1}, Image{2, 17, 17, 0, 1}, Image{2, 13, 14, 2, 2}}) {
    WinogradCase c = image.stride == 1 ? uneven_tiles : strided(uneven_tiles);
    c.batch = 17;
    c.height = image.height;
    c.width = image.width;
    c.padding = image.padding;
    c.rows = image.rows;
    INFO(c);
    REQUIRE(winograd::pays(c.geometry(), c.batch));
    const auto x = c.x();
    for (const bool accumulate : {false, true}) check_sums(c, x, Summed<float>(c, x, {}, accumulate));
  }
}

TEST_CASE("Winograd: beside an outlier the tiles that see it err by 2^-16 of its size, the others not at all",
          "[winograd]") {
  const std::int64_t channels = winograd::lanes;
  const WinogradCase c{.members = 1,
                       .rows = 1,
                       .batch = 1,
                       .height = 21,
                       .width = 21,
                       .channels = channels,
                       .out_channels = channels,
                       .padding = 1};
  const auto weight = c.weight();
  const auto forward = [&](const Tensor<float, Cpu>& x) {
    Tensor<float, Cpu> y(c.y_shape());
    winograd::conv2d_forward(c.geometry(), x.data(), winograd::PendingMap{}, weight.data(), y.data());
    return y;
  };
  const auto plain = c.x().raw;
  const auto before = forward(plain);
  for (const float outlier : {1e3f, 1e6f, 1e9f})
    for (const auto& [row, column] : {std::pair<std::int64_t, std::int64_t>{10, 7}, {8, 20}}) {
      auto x = clone(plain);
      x.data()[(row * c.width + column) * channels + 1] = outlier;
      const auto y = forward(x);
      const auto exact =
          conv2d_forward(Activation<double, Cpu>{converted<double>(x)}, converted<double>(weight), c.options());
      int off = 0, changed = 0;
      for (std::int64_t i = 0; i < c.height; ++i)
        for (std::int64_t j = 0; j < c.width; ++j) {
          const std::int64_t top = i / 4 * 4 - 1, left = j / 4 * 4 - 1;  // of the 6 x 6 inputs of the tile
          const bool sees = row >= top && row < top + 6 && column >= left && column < left + 6;
          for (std::int64_t o = 0; o < channels; ++o) {
            const std::int64_t at = (i * c.width + j) * channels + o;
            double size = 0;  // of the weights that may meet the outlier
            for (std::int64_t tap = 0; tap < 9; ++tap)
              size += std::abs(double(weight.data()[(o * 9 + tap) * channels + 1]));
            // All else that is summed adds what it adds without the outlier, some 1e-4 at most.
            off +=
                sees && !(std::abs(double(y.data()[at]) - exact.data()[at]) <= 0x1p-16 * double(outlier) * size + 1e-4);
            changed += !sees && y.data()[at] != before.data()[at];
          }
        }
      INFO("outlier " << outlier << " at " << row << ", " << column);
      CHECK(off == 0);
      CHECK(changed == 0);
    }
}

TEST_CASE("Winograd: how far outputs err beside an outlier, in 200,000 random tiles", "[.][winograd]") {
  const std::int64_t channels = 8 * winograd::lanes;
  const WinogradCase c{.members = 1,
                       .rows = 1,
                       .batch = 200000 / channels,
                       .height = 6,
                       .width = 6,
                       .channels = channels,
                       .out_channels = channels,
                       .padding = 0};
  const float outlier = 1e6f;
  const auto weight = c.weight();
  auto x = c.x().raw;
  std::vector<std::int64_t> meets;  // the channel of each image's outlier
  const Philox random(3, Stream::test);
  for (std::int64_t b = 0; b < c.batch; ++b) {
    meets.push_back(random.below(2 * to_size(b), static_cast<std::uint32_t>(channels)));
    x.data()[(b * 36 + random.below(2 * to_size(b) + 1, 36)) * channels + meets.back()] = outlier;
  }
  Tensor<float, Cpu> y(c.y_shape());
  winograd::conv2d_forward(c.geometry(), x.data(), winograd::PendingMap{}, weight.data(), y.data());
  const auto exact =
      conv2d_forward(Activation<double, Cpu>{converted<double>(x)}, converted<double>(weight), c.options());
  std::vector<double> errors;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    double size = 0;  // of the weights that meet the outlier
    for (std::int64_t tap = 0; tap < 9; ++tap)
      size += std::abs(double(weight.data()[(i % channels * 9 + tap) * channels + meets[to_size(i / channels / 16)]]));
    errors.push_back(std::abs(double(y.data()[i]) - exact.data()[i]) / (double(outlier) * size) * 0x1p24);
  }
  std::sort(errors.begin(), errors.end());
  const auto quantile = [&](double share) { return errors[std::size_t(share * double(errors.size() - 1))]; };
  WARN("in 2^-24 of the outlier times the sum of |weights|: median " << quantile(0.5) << ", 99 % " << quantile(0.99)
                                                                     << ", most " << errors.back());
  CHECK(errors.back() <= 0x1p8);  // 2^-16 of it, as above
}

TEST_CASE("Winograd: moments keep their digits beside a large mean", "[winograd]") {
  const auto x = uneven_tiles.x();
  check_sums(uneven_tiles, x, Summed<float>(uneven_tiles, x, full<float, Cpu>(uneven_tiles.y_shape(), 1000.f)));
}

TEST_CASE("Winograd: sums are the same bits on any number of threads, and for a member alone", "[winograd]") {
  for (WinogradCase c : {uneven_tiles, strided(uneven_tiles)}) {
    const auto x = c.x();
    const auto residual = random_tensor<float>(c.y_shape(), 9);
    CHECK(same_on_any_threads([&] { return Summed<float>(c, x, residual).values(); }));
    const Summed<float> all(c, x, residual);
    const Activation<float, Cpu> last{x.raw.rows(1, 1), x.mean.rows(1, 1), x.scale.rows(1, 1), x.shift.rows(1, 1),
                                      x.relu};
    const auto alone = conv2d_forward(last, c.weight(), c.options(), clone(residual.rows(1, 1)), true);
    CHECK(values_of(alone.moments.mean) == values_of(all.y.moments.mean.rows(1, 1)));
    CHECK(values_of(alone.moments.variance) == values_of(all.y.moments.variance.rows(1, 1)));
    Gradient<float, Cpu> dx{clone(random_tensor<float>(c.x_shape(), 6).rows(1, 1)), true};
    CHECK(values_of(conv2d_backward_data(clone(c.dy().rows(1, 1)), c.weight(), c.options(), dx, last)) ==
          values_of(all.sums.rows(1, 1)));
  }
}

TEST_CASE("Winograd: a residual is added as add_forward() does, in its own memory if nobody else holds it",
          "[winograd]") {
  for (const Convolution algorithm : {Convolution::winograd, Convolution::direct}) {
    const ConvolutionScope scope(algorithm);
    auto residual = random_tensor<float>(uneven_tiles.y_shape(), 9);
    const auto apart =
        add_forward(conv2d_forward(uneven_tiles.x(), uneven_tiles.weight(), uneven_tiles.options()), residual);
    CHECK(values_of(
              conv2d_forward(uneven_tiles.x(), uneven_tiles.weight(), uneven_tiles.options(), residual, false).raw) ==
          values_of(apart));
    CHECK(values_of(residual) == values_of(random_tensor<float>(uneven_tiles.y_shape(), 9)));
    const float* const memory = residual.data();
    const auto y =
        conv2d_forward(uneven_tiles.x(), uneven_tiles.weight(), uneven_tiles.options(), std::move(residual), true).raw;
    CHECK(values_of(y) == values_of(apart));
    CHECK((algorithm == Convolution::direct || y.data() == memory));
  }
}

TEST_CASE("Winograd: bfloat16's moments and sums are those of the rounded values", "[winograd]") {
  const auto x = uneven_tiles.x();
  int checked = 0;
  with_each_engine([&] {
    if (choose_convolution<bfloat16>(uneven_tiles.geometry(), uneven_tiles.batch) != ConvolutionAlgorithm::winograd)
      return;
    check_sums(uneven_tiles, x, Summed<bfloat16>(uneven_tiles, x, {}));
    ++checked;
  });
  CHECK(checked > 0);
}
