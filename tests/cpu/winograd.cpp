#include <lpw/cpu/winograd/convolution.hpp>

#include <algorithm>
#include <cstring>

#include <lpw/cpu/batch_norm.hpp>
#include <lpw/cpu/conv2d.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/engines.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A 3x3 convolution and its operands; weights and their gradient strided where there is a row per member.
struct WinogradCase {
  std::int64_t members, rows, batch, height, width, channels, out_channels, padding = 1, stride = 1;
  bool pending = false, relu = false;

  [[nodiscard]] Conv2dOptions options() const { return {.stride = stride, .padding = padding}; }
  [[nodiscard]] Shape x_shape() const { return {members, batch, height, width, channels}; }
  [[nodiscard]] Shape y_shape() const { return {members, batch, extent(height), extent(width), out_channels}; }
  [[nodiscard]] std::int64_t extent(std::int64_t pixels) const { return window_count(pixels, 3, stride, padding); }
  [[nodiscard]] Shape weight_shape() const { return {rows, out_channels, 3, 3, channels}; }
  [[nodiscard]] Conv2dGeometry geometry() const { return conv2d_geometry(x_shape(), weight_shape(), options()); }

  [[nodiscard]] Activation<float, Cpu> x() const {
    Activation<float, Cpu> result{.raw = random_tensor<float>(x_shape(), 1), .relu = relu};
    if (pending) {
      result.mean = random_tensor<float>({members, channels}, 8);
      result.scale = random_tensor<float>({members, channels}, 2);
      result.shift = random_tensor<float>({members, channels}, 3);
    }
    return result;
  }
  [[nodiscard]] Tensor<float, Cpu> weight() const { return random_parameter<float>(weight_shape(), rows > 1, 4); }
  [[nodiscard]] Tensor<float, Cpu> dy() const { return random_tensor<float>(y_shape(), 5); }
};

std::ostream& operator<<(std::ostream& out, const WinogradCase& c) {
  return out << "x " << describe(c.x_shape(), "KBHWC") << " weight " << describe(c.weight_shape(), "KOhwC")
             << " padding " << c.padding << " stride " << c.stride << (c.pending ? " pending" : "")
             << (c.relu ? " relu" : "");
}

template <class T>
struct WinogradResults {
  Tensor<T, Cpu> y, dx, dweight;

  [[nodiscard]] bool operator==(const WinogradResults& other) const {
    return same_bits(y, other.y) && same_bits(dx, other.dx) && same_bits(dweight, other.dweight);
  }
};

/// All passes through the primitives; gradients added to fixed values if `accumulate`.
template <class T>
[[nodiscard]] WinogradResults<T> results(const WinogradCase& c, const Activation<T, Cpu>& x,
                                         const Tensor<T, Cpu>& weight, const Tensor<T, Cpu>& dy, bool accumulate) {
  Gradient<T, Cpu> dx{random_tensor<T>(c.x_shape(), 6), accumulate};
  Gradient<T, Cpu> dweight{random_parameter<T>(c.weight_shape(), c.rows > 1, 7), accumulate};
  auto y = conv2d_forward(x, weight, c.options());
  conv2d_backward_data(dy, weight, c.options(), dx);
  conv2d_backward_weight(x, dy, c.options(), dweight);
  CHECK(gaps_untouched(dweight.tensor));
  return {y, dx.tensor, clone(dweight.tensor)};
}

[[nodiscard]] WinogradResults<float> results(const WinogradCase& c, bool accumulate = false) {
  return results(c, c.x(), c.weight(), c.dy(), accumulate);
}

/// The same by Winograd's algorithm, whether it pays or not; for one row of weights.
[[nodiscard]] WinogradResults<float> winograd_results(const WinogradCase& c, bool accumulate) {
  const auto x = c.x();
  const auto weight = c.weight(), dy = c.dy();
  const auto map = detail::pending_map(x, 0);
  WinogradResults<float> r{Tensor<float, Cpu>(c.y_shape()), random_tensor<float>(c.x_shape(), 6),
                           random_tensor<float>(c.weight_shape(), 7)};
  winograd::conv2d_forward(c.geometry(), x.raw.data(), map, weight.data(), r.y.data());
  winograd::conv2d_backward_data(c.geometry(), dy.data(), weight.data(), r.dx.data(), accumulate);
  winograd::conv2d_backward_weight(c.geometry(), x.raw.data(), map, dy.data(), r.dweight.data(), accumulate);
  return r;
}

/// The same in double, by im2col.
[[nodiscard]] WinogradResults<double> reference(const WinogradCase& c, bool accumulate) {
  WinogradResults<double> r = results<double>(c, {converted<double>(materialize(c.x()))}, converted<double>(c.weight()),
                                              converted<double>(c.dy()), false);
  const auto add = [&](Tensor<double, Cpu>& to, const Tensor<float, Cpu>& start) {
    for (std::int64_t i = 0; accumulate && i < to.size(); ++i) to.data()[i] += double(start.data()[i]);
  };
  add(r.dx, random_tensor<float>(c.x_shape(), 6));
  add(r.dweight, random_tensor<float>(c.weight_shape(), 7));
  return r;
}

/// The error's norm is at most 1e-5 of the expected norm, and no element is off by 1e-4 of the root mean square.
/// Winograd's transforms magnify rounding errors some ten times, which makes 2e-6 here; a wrong coefficient, edge or
/// tile makes more than 1e-3.
void check(const Tensor<float, Cpu>& found, const Tensor<double, Cpu>& expected) {
  double square = 0;
  for (const double value : values_of(expected)) square += value * value;
  CHECK(relative_norm(found, expected) <= 1e-5);
  CHECK(largest_difference(found, expected) <= 1e-4 * std::sqrt(square / static_cast<double>(expected.size())));
}

void check(const WinogradResults<float>& found, const WinogradResults<double>& expected) {
  {
    INFO("y");
    check(found.y, expected.y);
  }
  {
    INFO("dx");
    check(found.dx, expected.dx);
  }
  {
    INFO("dweight");
    check(found.dweight, expected.dweight);
  }
}

// Uneven tiles at the edges; more tiles than one block of the kernel's gradient holds; two members.
const WinogradCase uneven{.members = 2,
                          .rows = 1,
                          .batch = 33,
                          .height = 13,
                          .width = 16,
                          .channels = 16,
                          .out_channels = 32,
                          .pending = true,
                          .relu = true};

}  // namespace

TEST_CASE("Winograd: every image size, padding, stride and width of channels equals the definition", "[winograd]") {
  constexpr std::array<std::int64_t, 4> widths{1, 2, 3, 5};  // in vectors: half a panel, one, and more
  int n = 0;
  for (const std::int64_t height : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17})
    for (int way = 0; way < 6; ++way) {
      const std::int64_t padding = way % 3, stride = 1 + way / 3;
      if (height + 2 * padding < 3) continue;
      const WinogradCase c{.members = 1,
                           .rows = 1,
                           .batch = 1 + n % 3,
                           .height = height,
                           .width = (padding == 0 ? 3 : 1) + n % 11,
                           .channels = widths[n % 4] * winograd::lanes,
                           .out_channels = widths[(n / 4 + 1) % 4] * winograd::lanes,
                           .padding = padding,
                           .stride = stride,
                           .pending = n % 3 > 0,
                           .relu = n % 3 > 1};
      ++n;
      INFO(c);
      REQUIRE(winograd::supports(c.geometry()));
      for (const bool accumulate : {false, true}) check(winograd_results(c, accumulate), reference(c, accumulate));
    }
}

TEST_CASE("Winograd: layers of a wide residual network, with members, pending maps and added gradients", "[winograd]") {
  for (WinogradCase c :
       {WinogradCase{
            .members = 1, .rows = 1, .batch = 3, .height = 32, .width = 32, .channels = 16, .out_channels = 32},
        WinogradCase{
            .members = 2, .rows = 1, .batch = 3, .height = 16, .width = 16, .channels = 64, .out_channels = 64},
        WinogradCase{
            .members = 3, .rows = 3, .batch = 4, .height = 8, .width = 8, .channels = 128, .out_channels = 128},
        uneven}) {
    c.pending = c.relu = true;
    INFO(c);
    REQUIRE(winograd::pays(c.geometry(), c.batch));
    for (const bool accumulate : {false, true}) check(results(c, accumulate), reference(c, accumulate));
  }
}

TEST_CASE("Winograd: a pending map is applied as materialize() does", "[winograd]") {
  for (const bool relu : {false, true}) {
    WinogradCase c = uneven;
    c.relu = relu;
    const Activation<float, Cpu> finished{materialize(c.x())};
    CHECK(results(c) == results(c, finished, c.weight(), c.dy(), false));
  }
}

TEST_CASE("Winograd: the same bits on any number of threads", "[winograd]") {
  WinogradCase c = uneven;
  CHECK(same_on_any_threads([&] { return results(c); }));
  c.rows = c.members;
  CHECK(same_on_any_threads([&] { return results(c); }));
}

TEST_CASE("Winograd: a member alone gets the same bits as among others", "[winograd]") {
  WinogradCase c = uneven;
  c.rows = c.members;
  WinogradCase alone = c;
  alone.members = alone.rows = 1;
  const auto x = c.x();
  const auto weight = c.weight(), dy = c.dy();
  const auto all = results(c, x, weight, dy, false);
  for (std::int64_t k = 0; k < c.members; ++k) {
    const Activation<float, Cpu> mine{x.raw.rows(k, 1), x.mean.rows(k, 1), x.scale.rows(k, 1), x.shift.rows(k, 1),
                                      x.relu};
    const WinogradResults<float> expected{all.y.rows(k, 1), all.dx.rows(k, 1), all.dweight.rows(k, 1)};
    CHECK(results(alone, mine, clone(weight.rows(k, 1)), dy.rows(k, 1), false) == expected);
  }
}

TEST_CASE("Winograd: a rule on the shape says where it is used", "[winograd]") {
  const auto pays = [](std::int64_t channels, std::int64_t out_channels, std::int64_t size, std::int64_t batch = 128) {
    return winograd::pays({batch, size, size, channels, out_channels, 3, 3, 1, 1}, batch);
  };
  for (const std::int64_t widen : {1, 2, 4, 10}) {
    CHECK(pays(16 * widen, 16 * widen, 32));
    CHECK(pays(32 * widen, 32 * widen, 16));
    CHECK(pays(64 * widen, 64 * widen, 8));
  }
  CHECK(pays(16, 160, 32));
  CHECK(winograd::pays({128, 32, 32, 64, 128, 3, 3, 2, 1}, 128));
  CHECK_FALSE(winograd::pays({128, 32, 32, 16, 32, 3, 3, 2, 1}, 128));
  CHECK(pays(512, 512, 7));
  CHECK_FALSE(pays(3, 16, 32));
  CHECK_FALSE(pays(64, 10, 32));
  CHECK_FALSE(pays(16, 16, 5));
  CHECK_FALSE(pays(256, 256, 1));
  CHECK(pays(256, 256, 8, 4));
  CHECK_FALSE(pays(256, 256, 8, 3));
  CHECK_FALSE(winograd::supports({128, 32, 32, 64, 64, 3, 3, 3, 1}));
  CHECK_FALSE(winograd::supports({128, 32, 32, 64, 64, 1, 1, 1, 0}));
  CHECK_FALSE(winograd::supports({128, 32, 32, 64, 64, 3, 5, 1, 1}));
  CHECK_FALSE(winograd::supports({128, 32, 32, 64, 64, 3, 3, 1, 3}));
}

TEST_CASE("Winograd: switched off, the engines convolve", "[winograd]") {
  const auto fast = results(uneven);
  const ConvolutionScope direct(Convolution::direct);
  with_each_engine([&] {
    const auto plain = results(uneven);
    CHECK_FALSE(plain == fast);
    check(plain, reference(uneven, false));
  });
}

TEST_CASE("Winograd: bfloat16 is widened, summed in float and rounded at the end", "[winograd]") {
  const auto narrow = [](const Tensor<float, Cpu>& tensor) { return converted<bfloat16>(tensor); };
  const Activation<float, Cpu> x{converted<float>(narrow(uneven.x().raw)), uneven.x().mean, uneven.x().scale,
                                 uneven.x().shift, true};
  const auto map = detail::pending_map(x, 0);
  const auto weight = uneven.weight(), dy = converted<float>(narrow(uneven.dy()));
  const auto passes = [&]<class T>(T) {
    const auto in = converted<T>(x.raw), out = converted<T>(dy);
    WinogradResults<T> r{Tensor<T, Cpu>(uneven.y_shape()), zeros<T, Cpu>(uneven.x_shape()), {}};
    Tensor<float, Cpu> dweight(uneven.weight_shape());
    winograd::conv2d_forward(uneven.geometry(), in.data(), map, weight.data(), r.y.data());
    winograd::conv2d_backward_data(uneven.geometry(), out.data(), weight.data(), r.dx.data(), false);
    winograd::conv2d_backward_weight(uneven.geometry(), in.data(), map, out.data(), dweight.data(), false);
    return std::tuple{converted<bfloat16>(r.y), converted<bfloat16>(r.dx), dweight};
  };
  const auto [y, dx, dweight] = passes(bfloat16(0.f));
  const auto [wide_y, wide_dx, wide_dweight] = passes(0.f);
  CHECK(values_of(y) == values_of(wide_y));
  CHECK(values_of(dx) == values_of(wide_dx));
  CHECK(values_of(dweight) == values_of(wide_dweight));
}

TEST_CASE("Winograd: double does not know of the switch", "[winograd]") {
  const auto x = random_tensor<double>(uneven.x_shape(), 1);
  const auto weight = converted<double>(uneven.weight());
  const auto y = conv2d_forward<double>({x}, weight, uneven.options());
  const ConvolutionScope direct(Convolution::direct);
  CHECK(values_of(conv2d_forward<double>({x}, weight, uneven.options())) == values_of(y));
}

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

/// As uneven with stride 2, and channels for which that pays.
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
    WinogradCase c = image.stride == 1 ? uneven : strided(uneven);
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
  const auto x = uneven.x();
  check_sums(uneven, x, Summed<float>(uneven, x, full<float, Cpu>(uneven.y_shape(), 1000.f)));
}

TEST_CASE("Winograd: sums are the same bits on any number of threads, and for a member alone", "[winograd]") {
  for (WinogradCase c : {uneven, strided(uneven)}) {
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
    auto residual = random_tensor<float>(uneven.y_shape(), 9);
    const auto apart = add_forward(conv2d_forward(uneven.x(), uneven.weight(), uneven.options()), residual);
    CHECK(values_of(conv2d_forward(uneven.x(), uneven.weight(), uneven.options(), residual, false).raw) ==
          values_of(apart));
    CHECK(values_of(residual) == values_of(random_tensor<float>(uneven.y_shape(), 9)));
    const float* const memory = residual.data();
    const auto y = conv2d_forward(uneven.x(), uneven.weight(), uneven.options(), std::move(residual), true).raw;
    CHECK(values_of(y) == values_of(apart));
    CHECK((algorithm == Convolution::direct || y.data() == memory));
  }
}

TEST_CASE("Winograd: bfloat16's moments and sums are those of the rounded values", "[winograd]") {
  const auto x = uneven.x();
  int checked = 0;
  with_each_engine([&] {
    if (choose_convolution<bfloat16>(uneven.geometry(), uneven.batch) != ConvolutionAlgorithm::winograd) return;
    check_sums(uneven, x, Summed<bfloat16>(uneven, x, {}));
    ++checked;
  });
  CHECK(checked > 0);
}
