// Prints the level of x86-64 that it is compiled for, and a sum that lpw's vectors have computed.
#include <cstdio>

#include <lpw/cpu/softmax.hpp>

int main() {
#if defined(__AVX512F__)
  const char* const level = "x86-64-v4";
#elif defined(__AVX2__)
  const char* const level = "x86-64-v3";
#else
  const char* const level = "x86-64-v2";
#endif
  lpw::Tensor<float, lpw::Cpu> x({64, 37});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i * 37 % 101) / 20;
  const auto y = lpw::softmax_forward(x, false);
  double sum = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) sum += static_cast<double>(i % 7) * static_cast<double>(y.data()[i]);
  std::printf("%s %.9g\n", level, sum);
}
