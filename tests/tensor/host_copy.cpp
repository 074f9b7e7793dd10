#include <lpw/tensor/host_copy.hpp>

#include "catch.hpp"

using namespace lpw;

TEST_CASE("a copy on the host is what was sent last, in the order of the tensors") {
  HostCopy<Cpu, float, std::int32_t> copies;
  copies.send(full<float, Cpu>({3}, 2.f), full<std::int32_t, Cpu>({2}, 5));
  const auto [first, second] = copies.received();
  CHECK(std::vector<float>(first.begin(), first.end()) == std::vector<float>(3, 2.f));
  CHECK(std::vector<int>(second.begin(), second.end()) == std::vector<int>(2, 5));
  copies.send(full<float, Cpu>({1}, 3.f), full<std::int32_t, Cpu>({4}, 6));
  CHECK(std::get<0>(copies.received()).size() == 1);
  CHECK(std::get<1>(copies.received())[3] == 6);
}
