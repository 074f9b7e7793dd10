// Tensors over memory that lpw did not allocate. The memory here is of exactly the size that is viewed, so that a
// sanitizer sees whatever is read or written beside it.
#include <lpw/tensor/tensor.hpp>

#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "catch.hpp"

using lpw::bfloat16;
using lpw::Cpu;
using lpw::Error;
using lpw::Shape;
using lpw::ShapeError;
template <class T>
using Tensor = lpw::Tensor<T, Cpu>;
using Catch::Matchers::StartsWith;

namespace {

/// 0, 1, 2, ... in memory of its own.
template <class T = float>
std::shared_ptr<std::vector<T>> counting(int count) {
  auto memory = std::make_shared<std::vector<T>>();
  for (int i = 0; i < count; ++i) memory->push_back(static_cast<T>(static_cast<float>(i)));
  return memory;
}

template <class T>
std::vector<float> viewed_values(const Tensor<T>& tensor) {
  const auto copy = lpw::clone(tensor);
  std::vector<float> result;
  for (std::int64_t i = 0; i < copy.size(); ++i) result.push_back(static_cast<float>(copy.data()[i]));
  return result;
}

}  // namespace

TEMPLATE_TEST_CASE("view: a tensor over foreign memory is that memory, none of lpw's", "", float, double, bfloat16,
                   std::int32_t, std::uint8_t) {
  const auto memory = counting<TestType>(6);
  const auto before = lpw::cpu_pool().usage().used;
  auto view = Tensor<TestType>::view(memory->data(), {2, 3}, memory);
  const auto other = view;
  CHECK(lpw::cpu_pool().usage().used == before);
  CHECK(view.data() == memory->data());
  CHECK(other.shape() == Shape{2, 3});
  CHECK(view.contiguous());
  CHECK_FALSE(view.empty());
  CHECK_FALSE(view.read_only());
  CHECK(viewed_values(view) == std::vector<float>{0, 1, 2, 3, 4, 5});
  view.row(1)[2] = TestType(9);
  CHECK(static_cast<float>(memory->back()) == 9);
}

TEST_CASE("view: the owner lives until the last handle is gone, views of the view among them") {
  auto memory = counting(6);
  const std::weak_ptr<const void> alive = memory;
  auto view = Tensor<float>::view(memory->data(), {2, 3}, memory);
  memory.reset();
  auto row = view.rows(1, 1), flat = view.reshaped({6}), column = view.columns(1, {2});
  view = {};
  row = {};
  flat = {};
  REQUIRE_FALSE(alive.expired());
  CHECK(viewed_values(column) == std::vector<float>{1, 2, 4, 5});
  const auto copy = lpw::clone(column);
  auto moved = std::move(column);
  CHECK(column.empty());
  CHECK_FALSE(alive.expired());
  moved = Tensor<float>({1});
  CHECK(alive.expired());
  CHECK(viewed_values(copy) == std::vector<float>{1, 2, 4, 5});
}

TEST_CASE("view: an owner is released once, and none is needed where the caller keeps the memory") {
  int released = 0;
  std::vector<float> memory{1, 2};
  {
    auto view = Tensor<float>::view(memory.data(), {2},
                                    std::shared_ptr<const void>(memory.data(), [&](const void*) { ++released; }));
    auto other = view;
    view = {};
    CHECK(released == 0);
  }
  CHECK(released == 1);
  auto view = Tensor<float>::view(memory.data(), {2}, nullptr);
  lpw::fill(view, 3.f);
  CHECK(memory == std::vector<float>{3, 3});
}

TEST_CASE("view: no view is unique, so that nobody overwrites what the owner has") {
  auto memory = counting(4);
  auto view = Tensor<float>::view(memory->data(), {4}, memory);
  memory.reset();
  CHECK_FALSE(view.unique());
  CHECK_FALSE(view.rows(0, 2).unique());
  view = lpw::clone(view);
  CHECK(view.unique());
}

TEST_CASE("view: rows may lie further apart than they are long") {
  const auto memory = counting(11);  // three rows of three, four apart
  auto view = Tensor<float>::view(memory->data(), {3, 3}, memory, 4);
  CHECK(view.row_stride() == 4);
  CHECK_FALSE(view.contiguous());
  CHECK(viewed_values(view) == std::vector<float>{0, 1, 2, 4, 5, 6, 8, 9, 10});
  CHECK(viewed_values(view.rows(1, 2)) == std::vector<float>{4, 5, 6, 8, 9, 10});
  CHECK(viewed_values(view.reshaped({3, 1, 3})) == viewed_values(view));
  lpw::fill(view, -1.f);
  CHECK(*memory == std::vector<float>{-1, -1, -1, 3, -1, -1, -1, 7, -1, -1, -1});
  CHECK_THROWS_WITH(Tensor<float>::view(memory->data(), {3, 3}, memory, 2),
                    "view: the rows of a tensor [3 3] overlap: they have 3 elements and lie 2 apart");
  CHECK_THROWS_AS(Tensor<float>::view(memory->data(), {3, 3}, memory, -3), ShapeError);
}

TEST_CASE("view: copies go to and from views") {
  const auto memory = counting(6);
  auto view = Tensor<float>::view(memory->data(), {2, 3}, memory);
  const auto before = lpw::clone(view);
  CHECK(before.data() != memory->data());
  lpw::copy(lpw::full<float, Cpu>({2, 3}, 7.f), view);
  CHECK(*memory == std::vector<float>(6, 7));
  CHECK(viewed_values(before) == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK(lpw::to_host(view).data() == memory->data());
  CHECK(lpw::to_device<Cpu>(view).data() == memory->data());
}

TEST_CASE("view: memory that must not be written is read, and no pointer to write by is to be had") {
  const std::shared_ptr<const std::vector<float>> memory = counting(6);
  auto view = Tensor<float>::view(memory->data(), {2, 3}, memory);
  CHECK(view.read_only());
  CHECK(std::as_const(view).data() == memory->data());
  CHECK(viewed_values(view) == std::vector<float>{0, 1, 2, 3, 4, 5});
  const std::string refusal =
      " views memory that must not be written; read it by a const handle, or write to its clone()";
  CHECK_THROWS_AS(view.data(), Error);
  CHECK_THROWS_WITH(view.data(), "tensor [2 3]:" + refusal);
  CHECK_THROWS_WITH(view.row(1), "tensor [2 3]:" + refusal);
  CHECK_THROWS_WITH(lpw::fill(view, 1.f), "tensor [2 3]:" + refusal);
  CHECK_THROWS_WITH(lpw::copy(lpw::zeros<float, Cpu>({2, 3}), view), "tensor [2 3]:" + refusal);
  for (auto part : {view.rows(1, 1), view.columns(0, {3}), view.reshaped({6}), view}) {
    CHECK(part.read_only());
    CHECK_THROWS_AS(part.data(), Error);
  }
  auto moved = std::move(view);
  CHECK(moved.read_only());
  CHECK_FALSE(view.read_only());
  view = std::move(moved);
  CHECK(view.read_only());
  CHECK_FALSE(moved.read_only());
  auto copy = lpw::clone(view);
  copy.data()[0] = 5;
  CHECK(memory->front() == 0);
  view = lpw::zeros<float, Cpu>({2});
  CHECK_NOTHROW(view.data());
}

TEST_CASE("view: an address that is no multiple of an element's alignment, or none, is refused") {
  alignas(8) std::byte bytes[32] = {};
  const auto at = [&](int offset) { return reinterpret_cast<const float*>(bytes + offset); };
  CHECK_NOTHROW(Tensor<float>::view(at(4), {2}, nullptr));
  for (const int offset : {1, 2, 3}) {
    CHECK_THROWS_AS(Tensor<float>::view(at(offset), {2}, nullptr), Error);
    CHECK_THROWS_WITH(Tensor<float>::view(at(offset), {2}, nullptr), StartsWith("view: a tensor [2] at address "));
  }
  CHECK_THROWS_AS(Tensor<double>::view(reinterpret_cast<const double*>(bytes + 4), {2}, nullptr), Error);
  CHECK_THROWS_AS(Tensor<bfloat16>::view(reinterpret_cast<const bfloat16*>(bytes + 1), {2}, nullptr), Error);
  CHECK_NOTHROW(Tensor<std::uint8_t>::view(reinterpret_cast<const std::uint8_t*>(bytes + 1), {2}, nullptr));
  CHECK_THROWS_WITH(Tensor<float>::view(static_cast<float*>(nullptr), {2}, nullptr),
                    "view: a tensor [2] at no address (null)");
  CHECK_THROWS_AS(Tensor<float>::view(at(0), {std::int64_t{1} << 40, std::int64_t{1} << 40}, nullptr), ShapeError);
}

TEST_CASE("view: of no elements is a tensor of none, wherever it is said to be") {
  const std::vector<float> none;
  const auto view = Tensor<float>::view(none.data(), {0, 3}, nullptr);
  CHECK_FALSE(view.empty());
  CHECK(view.shape() == Shape{0, 3});
  CHECK(lpw::clone(view).size() == 0);
}
