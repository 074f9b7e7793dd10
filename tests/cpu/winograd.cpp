// Winograd's convolutions against the definition in double, and where they are used.
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
        uneven_tiles}) {
    c.pending = c.relu = true;
    INFO(c);
    REQUIRE(winograd::pays(c.geometry(), c.batch));
    for (const bool accumulate : {false, true}) check(results(c, accumulate), reference(c, accumulate));
  }
}

TEST_CASE("Winograd: a pending map is applied as materialize() does", "[winograd]") {
  for (const bool relu : {false, true}) {
    WinogradCase c = uneven_tiles;
    c.relu = relu;
    const Activation<float, Cpu> finished{materialize(c.x())};
    CHECK(results(c) == results(c, finished, c.weight(), c.dy(), false));
  }
}

TEST_CASE("Winograd: the same bits on any number of threads", "[winograd]") {
  WinogradCase c = uneven_tiles;
  CHECK(same_on_any_threads([&] { return results(c); }));
  c.rows = c.members;
  CHECK(same_on_any_threads([&] { return results(c); }));
}

TEST_CASE("Winograd: a member alone gets the same bits as among others", "[winograd]") {
  WinogradCase c = uneven_tiles;
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
  CHECK(winograd::pays({128, 32, 32, 16, 32, 3, 3, 2, 1}, 128));
  CHECK_FALSE(winograd::pays({128, 32, 32, 16, 16, 3, 3, 2, 1}, 128));
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
  const auto fast = results(uneven_tiles);
  const ConvolutionScope direct(Convolution::direct);
  with_each_engine([&] {
    const auto plain = results(uneven_tiles);
    CHECK_FALSE(plain == fast);
    check(plain, reference(uneven_tiles, false));
  });
}

TEST_CASE("Winograd: bfloat16 is widened, summed in float and rounded at the end", "[winograd]") {
  const auto narrow = [](const Tensor<float, Cpu>& tensor) { return converted<bfloat16>(tensor); };
  const Activation<float, Cpu> x{converted<float>(narrow(uneven_tiles.x().raw)), uneven_tiles.x().mean,
                                 uneven_tiles.x().scale, uneven_tiles.x().shift, true};
  const auto map = detail::pending_map(x, 0);
  const auto weight = uneven_tiles.weight(), dy = converted<float>(narrow(uneven_tiles.dy()));
  const auto passes = [&]<class T>(T) {
    const auto in = converted<T>(x.raw), out = converted<T>(dy);
    WinogradResults<T> r{Tensor<T, Cpu>(uneven_tiles.y_shape()), zeros<T, Cpu>(uneven_tiles.x_shape()), {}};
    Tensor<float, Cpu> dweight(uneven_tiles.weight_shape());
    winograd::conv2d_forward(uneven_tiles.geometry(), in.data(), map, weight.data(), r.y.data());
    winograd::conv2d_backward_data(uneven_tiles.geometry(), out.data(), weight.data(), r.dx.data(), false);
    winograd::conv2d_backward_weight(uneven_tiles.geometry(), in.data(), map, out.data(), dweight.data(), false);
    return std::tuple{converted<bfloat16>(r.y), converted<bfloat16>(r.dx), dweight};
  };
  const auto [y, dx, dweight] = passes(bfloat16(0.f));
  const auto [wide_y, wide_dx, wide_dweight] = passes(0.f);
  CHECK(values_of(y) == values_of(wide_y));
  CHECK(values_of(dx) == values_of(wide_dx));
  CHECK(values_of(dweight) == values_of(wide_dweight));
}

TEST_CASE("Winograd: double does not know of the switch", "[winograd]") {
  const auto x = random_tensor<double>(uneven_tiles.x_shape(), 1);
  const auto weight = converted<double>(uneven_tiles.weight());
  const auto y = conv2d_forward<double>({x}, weight, uneven_tiles.options());
  const ConvolutionScope direct(Convolution::direct);
  CHECK(values_of(conv2d_forward<double>({x}, weight, uneven_tiles.options())) == values_of(y));
}
