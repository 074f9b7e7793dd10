// NamedTensors: what is shared, what is copied, and what is refused.
#include <lpw/io/named_tensors.hpp>

#include <numeric>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

using lpw::Cpu;
using lpw::Shape;
using lpw::Tensor;
using lpw::io::NamedTensors;

namespace {

Tensor<float, Cpu> counting(const Shape& shape) {
  Tensor<float, Cpu> tensor(shape);
  std::iota(tensor.data(), tensor.data() + tensor.size(), 0.f);
  return tensor;
}

}  // namespace

TEST_CASE("named tensors: bytes of a shape, or nothing where they overflow", "[io]") {
  CHECK(lpw::io::byte_size("F32", {}) == 4u);
  CHECK(lpw::io::byte_size("BF16", {3, 5}) == 30u);
  CHECK(lpw::io::byte_size("F64", {3, 0}) == 0u);
  CHECK(lpw::io::byte_size("U8", {INT64_MAX}) == std::uint64_t{INT64_MAX});
  CHECK(!lpw::io::byte_size("F32", {INT64_MAX}));
  CHECK(!lpw::io::byte_size("F64", {0, INT64_MAX}));  // its row stride would overflow
}

TEST_CASE("named tensors: a contiguous tensor is shared and kept alive, a strided one copied", "[io]") {
  NamedTensors tensors;
  auto store = counting({2, 6});
  auto columns = store.columns(1, {2, 2});
  tensors.add("whole", store);
  tensors.add("columns", columns);
  store.data()[0] = 7;
  store.data()[1] = 8;
  store = {};
  columns = {};

  const auto whole = tensors.get<float>("whole", {2, 6});
  CHECK(whole.data()[0] == 7);
  const auto copied = tensors.get<float>("columns", {2, 2, 2});
  const float expected[] = {1, 2, 3, 4, 7, 8, 9, 10};
  CHECK(std::equal(copied.data(), copied.data() + 8, expected));
}

TEST_CASE("named tensors: copied into the columns of a store, beside which nothing changes", "[io]") {
  NamedTensors tensors;
  tensors.add("gamma", counting({2, 3}));
  auto store = lpw::full<float, Cpu>({2, 5}, -1.f);
  auto columns = store.columns(1, {3});
  tensors.copy_to("gamma", columns);
  const float expected[] = {-1, 0, 1, 2, -1, -1, 3, 4, 5, -1};
  CHECK(std::equal(store.data(), store.data() + 10, expected));
}

TEST_CASE("named tensors: errors name the source, the tensor and the difference", "[io]") {
  NamedTensors tensors("model.safetensors");
  tensors.add("head.weight", counting({2, 3}));
  const auto message = [&](auto call) { return message_of<lpw::FileError>(call); };
  CHECK(message([&] { (void)tensors.at("head.bias"); }) == "model.safetensors: has no tensor 'head.bias' among its 1");
  CHECK(message([&] {
          (void)tensors.get<float>("head.weight", {3, 2});
        }) == "model.safetensors: tensor 'head.weight' is F32 [2 3], expected F32 [3 2]");
  CHECK(message([&] {
          (void)tensors.get<double>("head.weight", {2, 3});
        }) == "model.safetensors: tensor 'head.weight' is F32 [2 3], expected F64 [2 3]");
  CHECK(message_of<lpw::Error>([&] { tensors.add("head.weight", counting({1})); }) ==
        "model.safetensors: two tensors of the name 'head.weight'");
  CHECK(message_of<lpw::Error>([&] { tensors.add("empty", Tensor<float, Cpu>()); }) ==
        "model.safetensors: tensor 'empty' has no memory");
  CHECK(message_of<lpw::Error>([&] {
          tensors.add({"x", "F8", {1}, {}, nullptr});
        }) == "model.safetensors: tensor 'x' has the unknown dtype 'F8'");
  CHECK(message_of<lpw::Error>([&] {
          tensors.add({"x", "F32", {1}, {}, nullptr});
        }) == "model.safetensors: tensor 'x' F32 [1] does not have 0 bytes");
  CHECK(tensors.size() == 1);
  CHECK(tensors.contains("head.weight"));
  CHECK(!tensors.contains("x"));
}
