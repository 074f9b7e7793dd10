// The smallest program that needs lpw's headers and the libraries they use.
#include <iostream>
#include <lpw/lpw.hpp>

int main() {
  const auto tensor = lpw::full<float, lpw::Cpu>({2, 3}, 1.f);
  std::cout << "tensor " << tensor.shape() << ", oneDNN " << LPW_WITH_ONEDNN << '\n';
#if LPW_COMPILED
  lpw::nn::WideResNet<float, lpw::Cpu> network({.depth = 10, .widen = 1, .classes = 10}, lpw::Philox{1});
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 2});
  lpw::Tape tape;
  tape.backward(lpw::cross_entropy(network.forward(tape.input(lpw::full<float, lpw::Cpu>({2, 2, 8, 8, 3}, 1.f))),
                                   lpw::zeros<std::int32_t, lpw::Cpu>({2, 2})));
  optimizer.step();
  lpw::collapse(network);
  if (lpw::nn::members(network) != 1) return 1;
#endif
  return tensor.size() == 6 ? 0 : 1;
}
