// Convolutions with kernels, strides and paddings that differ along the axes, with dilation and groups.
#include "cpu/convolution_case.hpp"
#include "support/engines.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A case of the table; members and rows are given by those who take it.
struct OptionCase {
  std::int64_t channels, out_channels, kernel_height, kernel_width;
  Conv2dOptions options;
};

const OptionCase option_cases[] = {
    {3, 5, 2, 3, {.stride = {1, 2}}},
    {3, 4, 3, 3, {.stride = {2, 1}, .padding = {0, 2}}},
    {16, 32, 3, 3, {.padding = {1, 2}}},  // Winograd's but for what differs along the axes
    {16, 32, 3, 3, {.stride = {2, 1}, .padding = 1}},
    {16, 32, 3, 3, {.padding = 2, .dilation = 2}},
    {16, 32, 3, 3, {.padding = 1, .groups = 2}},
    {4, 3, 1, 5, {.padding = {0, 2}}},
    {4, 3, 1, 1, {.stride = {1, 2}}},
    {4, 6, 1, 1, {.stride = {3, 2}, .groups = 2}},
    {5, 4, 3, 2, {.padding = {2, 1}, .dilation = {2, 1}}},
    {3, 2, 2, 3, {.stride = 2, .padding = 3, .dilation = {1, 3}}},
    {6, 9, 3, 3, {.padding = 1, .groups = 3}},
    {8, 8, 3, 3, {.padding = 1, .groups = 8}},                                              // depthwise
    {5, 10, 3, 1, {.stride = {2, 1}, .padding = {2, 0}, .dilation = {2, 1}, .groups = 5}},  // two outputs a channel
    {16, 16, 5, 5, {.stride = 2, .padding = 2, .groups = 16}},
    {32, 32, 3, 3, {.stride = 2, .padding = 1, .groups = 4}},
};

[[nodiscard]] ConvolutionCase case_of(const OptionCase& c, std::int64_t members, std::int64_t rows) {
  return {.members = members,
          .rows = rows,
          .batch = 2,
          .height = 9,
          .width = 7,
          .channels = c.channels,
          .out_channels = c.out_channels,
          .kernel_height = c.kernel_height,
          .kernel_width = c.kernel_width,
          .options = c.options,
          .strided = rows > 1};
}

/// ResNet's first convolution, of an image that is smaller than its.
const OptionCase stem{3, 64, 7, 7, {.stride = 2, .padding = 3}};

}  // namespace

TEMPLATE_TEST_CASE("convolution equals its definition for options of each axis, dilation and groups", "[conv2d]", float,
                   double, bfloat16) {
  with_each_engine([] {
    for (const OptionCase& options : option_cases)
      for (const auto& [members, rows] : {std::pair{1, 1}, {3, 1}, {2, 2}}) {
        ConvolutionCase c = case_of(options, members, rows);
        check_all<TestType>(c);
        if (rows == 1 && members > 1) continue;
        c.pending = c.relu = true;
        check_all<TestType>(c);
      }
  });
}

// Winograd's and products of pixels are for what is the same along both axes, and whole.
TEMPLATE_TEST_CASE("an algorithm that lacks an option is not chosen for it", "[conv2d]", float, double, bfloat16) {
  const auto chosen = [](std::int64_t kernel, const Conv2dOptions& options) {
    const Conv2dGeometry g =
        conv2d_geometry({1, 16, 32, 32, 64}, {1, 64, kernel, kernel, 64 / options.groups}, options);
    return choose_convolution<TestType>(g, 16);
  };
  with_each_engine([&] {
    for (const Conv2dOptions& options : {Conv2dOptions{.padding = {1, 2}}, Conv2dOptions{.stride = {1, 2}},
                                         Conv2dOptions{.dilation = {1, 2}}, Conv2dOptions{.groups = 2}})
      CHECK(chosen(3, options) == ConvolutionAlgorithm::direct);
    CHECK(chosen(1, {.groups = 2}) == ConvolutionAlgorithm::direct);
    CHECK(chosen(1, {.stride = {1, 2}}) == chosen(1, {}));  // products where these are oneDNN's
  });
}

TEMPLATE_TEST_CASE("the stem of a ResNet, 7x7 with stride 2, equals its definition by each algorithm that takes it",
                   "[conv2d]", float, double, bfloat16) {
  with_each_engine([] {
    for (const auto algorithm : {Convolution::winograd, Convolution::direct}) {
      const ConvolutionScope scope(algorithm);
      for (const std::int64_t rows : {1, 2}) {
        ConvolutionCase c = case_of(stem, 2, rows);
        c.height = 18;
        c.width = 15;
        check_all<TestType>(c);
      }
    }
  });
}

#if LPW_WITH_ONEDNN
TEST_CASE("oneDNN itself convolves the stem of a ResNet", "[conv2d]") {
  const Conv2dGeometry g = conv2d_geometry({1, 2, 32, 32, 3}, {1, 64, 7, 7, 3}, stem.options);
  auto x = random_tensor<float>({g.images * g.in_size()}, 1), weight = random_tensor<float>({g.weight_size()}, 2);
  auto y = random_tensor<float>({g.images * g.out_size()}, 3);
  CHECK(onednn::conv2d_forward(g, x.data(), weight.data(), y.data()));
  CHECK(onednn::conv2d_backward_data(g, y.data(), weight.data(), x.data()));
  CHECK(onednn::conv2d_backward_weight(g, x.data(), y.data(), weight.data(), true));
}
#endif

TEMPLATE_TEST_CASE("convolution with groups gives the same bits on any number of threads", "[conv2d]", float, double,
                   bfloat16) {
  with_each_engine([] {
    for (const std::int64_t groups : {2, 32}) {
      ConvolutionCase c = case_of({32, 64, 3, 3, {.padding = {1, 2}, .dilation = {1, 2}, .groups = groups}}, 2, 1);
      c.batch = 9;  // enough to be shared
      c.height = c.width = 30;
      const auto x = random_activation<TestType>(c);
      const auto weight = random_tensor<Accumulate<TestType>>(c.weight(), 4);
      const auto dy = random_tensor<TestType>(c.y(), 5);
      CHECK(same_on_any_threads([&] {
        Gradient<TestType, Cpu> dx{Tensor<TestType, Cpu>(c.x())};
        conv2d_backward_data(dy, weight, c.options, dx);
        Gradient<Accumulate<TestType>, Cpu> dweight{Tensor<Accumulate<TestType>, Cpu>(c.weight())};
        conv2d_backward_weight(x, dy, c.options, dweight);
        return std::vector{values_of(conv2d_forward(x, weight, c.options)), values_of(dx.tensor),
                           values_of(dweight.tensor)};
      }));
    }
  });
}
