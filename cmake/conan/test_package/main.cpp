#include <cstdio>
#include <lpw/nn/linear.hpp>
#include <lpw/version.hpp>

int main() {
  lpw::nn::Initializer init(lpw::Philox{1});
  lpw::nn::Linear<float, lpw::Cpu> layer({.in_features = 3, .out_features = 2}, init);
  lpw::Tape tape;
  const auto y = layer.forward(tape.input(lpw::full<float, lpw::Cpu>({1, 4, 3}, 1.f)));
  std::printf("lpw %d.%d.%d\n", LPW_VERSION_MAJOR, LPW_VERSION_MINOR, LPW_VERSION_PATCH);
  return y.value().size() == 8 ? 0 : 1;
}
