// The smallest program that needs lpw's headers and the libraries they use.
#include <iostream>
#include <lpw/lpw.hpp>

int main() {
  const auto tensor = lpw::full<float, lpw::Cpu>({2, 3}, 1.f);
  std::cout << "tensor " << tensor.shape() << ", oneDNN " << LPW_WITH_ONEDNN << '\n';
  return tensor.size() == 6 ? 0 : 1;
}
