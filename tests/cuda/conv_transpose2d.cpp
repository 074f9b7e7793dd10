// Transposed convolutions and those of sequences, recorded on the GPU.
#include "cuda/operands.hpp"

#include <lpw/autograd/conv1d.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Value, and gradients of x, the weight and the bias, of an operation.
template <class T, class D, class Operation>
[[nodiscard]] auto taken(const Operation& operation, const Tensor<T, D>& x, const Tensor<float, D>& weight,
                         const Tensor<float, D>& bias) {
  auto dx = zeros<T, D>(x.shape());
  auto dweight = zeros<float, D>(weight.shape()), dbias = zeros<float, D>(bias.shape());
  Tape tape;
  const auto y = operation(tape.leaf(x, dx), tape.leaf(weight, dweight), tape.leaf(bias, dbias));
  const auto value = y.value();
  backward_of_sum(tape, y);
  return std::tuple{value, dx, dweight, dbias};
}

template <class T, class Operation>
void check_on_gpu(const Operation& operation, const Shape& x, const Shape& weight, const Shape& bias) {
  const auto in = random_tensor<T>(x, 1);
  const auto w = random_tensor<float>(weight, 2), b = random_tensor<float>(bias, 3);
  const auto expected = taken(operation, in, w, b);
  const auto found = taken(operation, on_device(in), on_device(w), on_device(b));
  // Sums of up to some 100 terms below 1 in another order, rounded to T; the GPU rounds weights to T too.
  const double tolerance = 200 * epsilon<float>() + 16 * epsilon<T>();
  CHECK(distance(std::get<0>(found), std::get<0>(expected)) <= tolerance);
  CHECK(distance(std::get<1>(found), std::get<1>(expected)) <= tolerance);
  // those of a bias and a weight sum over all images and pixels, of T's gradients
  CHECK(distance(std::get<2>(found), std::get<2>(expected)) <= 4 * tolerance);
  CHECK(distance(std::get<3>(found), std::get<3>(expected)) <= 4 * tolerance);
}

}  // namespace

TEMPLATE_TEST_CASE("transposed convolutions on the GPU have the CPU's values and gradients", "[gpu]", float, bfloat16) {
  for (const std::int64_t rows : {1, 2}) {
    INFO("rows " << rows);
    check_on_gpu<TestType>(
        [](const auto& x, const auto& w, const auto& b) {
          return conv_transpose2d(x, w, b, {.stride = {2, 1}, .padding = 1, .output_padding = {1, 0}, .groups = 2});
        },
        {2, 2, 4, 3, 4}, {rows, 4, 3, 3, 3}, {rows, 6});
  }
}

TEMPLATE_TEST_CASE("convolutions of sequences on the GPU have the CPU's values and gradients", "[gpu]", float,
                   bfloat16) {
  for (const std::int64_t rows : {1, 2}) {
    INFO("rows " << rows);
    check_on_gpu<TestType>([](const auto& x, const auto& w,
                              const auto& b) { return conv1d(x, w, b, {.stride = 2, .padding = 2, .dilation = 2}); },
                           {2, 2, 9, 4}, {rows, 6, 3, 4}, {rows, 6});
    check_on_gpu<TestType>(
        [](const auto& x, const auto& w, const auto& b) { return conv_transpose1d(x, w, b, {.stride = 2}); },
        {2, 2, 5, 4}, {rows, 4, 3, 6}, {rows, 6});
  }
}
