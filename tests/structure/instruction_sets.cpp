// Compiled once for each instruction set, as LPW_TEST_NAME: what one file does with lpw. With LPW_TEST_MAIN the program
// that calls both. With LPW_TEST_PRODUCTS what is made of Eigen's templates, which optimised code has parts of that are
// not inlined.
#if defined(LPW_TEST_PRODUCTS)
#include <lpw/cpu/base/gemm_eigen.hpp>

namespace lpw::inline LPW_ABI::detail {
template void gemm_on_thread(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, bool);
template void gemm_on_thread(MatrixView<const double>, MatrixView<const double>, MatrixView<double>, bool);
}  // namespace lpw::inline LPW_ABI::detail
#elif defined(LPW_TEST_MAIN)
#include <cmath>
#include <cstdio>

double loss_old();
double loss_new();

int main() {
  const double a = loss_old(), b = loss_new();
  const bool equal = std::abs(a - b) <= 1e-5 * std::abs(a);  // sums of other vectors differ by rounding
  if (!equal) std::printf("losses %.9g and %.9g\n", a, b);
  return equal ? 0 : 1;
}
#else
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/reshape.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/linear.hpp>

double LPW_TEST_NAME() {
  const lpw::Philox random(1);
  lpw::nn::Initializer init(random);
  lpw::nn::Conv2d<float, lpw::Cpu> convolution({.in_channels = 16, .out_channels = 16, .kernel_size = 3, .padding = 1},
                                               init);
  lpw::nn::Linear<float, lpw::Cpu> head({16 * 64, 5}, init);
  lpw::Tensor<float, lpw::Cpu> x({1, 4, 8, 8, 16});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(random.uniform(i));
  lpw::Tensor<std::int32_t, lpw::Cpu> labels({1, 4});
  for (std::int64_t i = 0; i < 4; ++i) labels.data()[i] = static_cast<std::int32_t>(i);
  lpw::Tape tape;
  const auto logits = head.forward(lpw::reshape(convolution.forward(tape.input(x)), {1, 4, 16 * 64}));
  const auto loss = lpw::cross_entropy(logits, labels);
  tape.backward(loss);
  return static_cast<double>(loss.value().data()[0]);
}
#endif
