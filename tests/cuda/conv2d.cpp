#include "cuda/support.hpp"

#include <lpw/cpu/conv2d.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

struct ConvolutionCase {
  std::int64_t members, weight_rows, batch, height, width, channels, out_channels;
  PerAxis kernel;
  Conv2dOptions options;
};

constexpr ConvolutionCase convolution_cases[] = {
    {1, 1, 2, 7, 6, 3, 4, 3, {1, 1}},
    {2, 1, 2, 8, 8, 4, 3, 3, {2, 1}},
    {3, 3, 1, 5, 5, 2, 5, 1, {2, 0}},
    {2, 2, 2, 6, 7, 3, 2, 3, {1, 0}},
    {1, 1, 1, 1, 1, 8, 8, 1, {1, 0}},
    {2, 2, 2, 6, 7, 3, 2, {2, 3}, {.stride = {2, 1}, .padding = {0, 1}}},
    {2, 1, 2, 6, 7, 4, 6, {3, 2}, {.padding = {2, 1}, .dilation = {2, 3}, .groups = 2}},
    {2, 2, 1, 6, 5, 8, 8, 3, {.padding = 1, .groups = 8}},
    {1, 1, 1, 14, 13, 3, 4, 7, {.stride = 2, .padding = 3}}};  // a ResNet's stem, but for its channels

}  // namespace

TEMPLATE_TEST_CASE("convolutions on the GPU give the CPU's values and gradients", "[gpu]", float, bfloat16, lpw::half) {
  for (const ConvolutionCase& c : convolution_cases)
    for (const bool deterministic : {false, true})
      for (const bool accumulate : {false, true}) {
        INFO("case " << &c - convolution_cases << " deterministic " << deterministic << " accumulate " << accumulate);
        cuda::settings().deterministic = deterministic;
        const Conv2dOptions& options = c.options;
        const auto x = random_tensor<TestType>({c.members, c.batch, c.height, c.width, c.channels}, 1);
        const auto weight = random_parameter<float>(
            {c.weight_rows, c.out_channels, c.kernel.height, c.kernel.width, c.channels / options.groups}, true, 2);
        const auto exact_x = converted<double>(x), exact_weight = converted<double>(weight);
        const auto y = conv2d_forward(Activation<double, Cpu>{exact_x}, exact_weight, options);
        const auto dy = random_tensor<TestType>(y.shape(), 3);
        const auto start_x = random_tensor<TestType>(x.shape(), 4);
        const auto start_weight = random_tensor<float>(weight.shape(), 5);
        Gradient<double, Cpu> dx{converted<double>(start_x), accumulate},
            dweight{converted<double>(start_weight), accumulate};
        conv2d_backward_data(converted<double>(dy), exact_weight, options, dx);
        conv2d_backward_weight(Activation<double, Cpu>{exact_x}, converted<double>(dy), options, dweight);

        const auto w = on_device(weight);
        Gradient<TestType, Cuda> found_dx{on_device(start_x), accumulate};
        Gradient<float, Cuda> found_dweight{on_device(start_weight), accumulate};
        // Sums of up to some 100 terms below 1 in another order. In 16 bits the result is rounded, and each of the
        // products, 36 but for the stem, of 1/4 in the mean, is off by half an epsilon where a device rounds the
        // weights.
        const double products = std::max(36., double(weight.shape().size_from(2)));
        const double tolerance = 200 * epsilon<float>() + (products / 4 / 2 + 2) * epsilon<TestType>();
        CHECK(distance(conv2d_forward(Activation<TestType, Cuda>{on_device(x)}, w, options), y) <= tolerance);
        conv2d_backward_data(on_device(dy), w, options, found_dx);
        CHECK(distance(found_dx.tensor, dx.tensor) <= tolerance);
        conv2d_backward_weight(Activation<TestType, Cuda>{on_device(x)}, on_device(dy), options, found_dweight);
        CHECK(distance(found_dweight.tensor, dweight.tensor) <= tolerance);
        cuda::settings().deterministic = false;
      }
}
