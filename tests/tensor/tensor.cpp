#include <lpw/tensor/tensor.hpp>

#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"

using lpw::bfloat16;
using lpw::Cpu;
using lpw::Shape;
using lpw::ShapeError;
template <class T>
using Tensor = lpw::Tensor<T, Cpu>;

namespace {

// 0, 1, 2, ... in row-major order.
template <class T = float>
Tensor<T> counting(const Shape& shape) {
  Tensor<T> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<T>(static_cast<float>(i));
  return tensor;
}

template <class T>
std::vector<float> values(const Tensor<T>& tensor) {
  const auto copy = lpw::clone(tensor);
  std::vector<float> result;
  for (std::int64_t i = 0; i < copy.size(); ++i) result.push_back(static_cast<float>(copy.data()[i]));
  return result;
}

}  // namespace

TEST_CASE("An empty Tensor holds nothing, a Tensor of zero elements has a shape") {
  const Tensor<float> none;
  CHECK(none.empty());
  CHECK(none.size() == 0);
  CHECK(none.shape() == Shape{});
  CHECK(lpw::clone(none).empty());

  const Tensor<float> zero({0, 3});
  CHECK_FALSE(zero.empty());
  CHECK(zero.size() == 0);
  CHECK(zero.contiguous());
  CHECK(lpw::clone(zero).shape() == Shape{0, 3});
}

TEST_CASE("A Tensor of rank 0 is one element") {
  const auto scalar = lpw::full<float, Cpu>({}, 3.f);
  CHECK(scalar.size() == 1);
  CHECK(scalar.contiguous());
  CHECK(values(scalar) == std::vector<float>{3});
}

TEMPLATE_TEST_CASE("Tensor: full, zeros and fill set every element", "", float, double, bfloat16) {
  CHECK(values(lpw::full<TestType, Cpu>({2, 3}, TestType(1.5f))) == std::vector<float>(6, 1.5f));
  auto tensor = lpw::zeros<TestType, Cpu>({5});
  CHECK(values(tensor) == std::vector<float>(5, 0.f));
  lpw::fill(tensor, TestType(2.f));
  CHECK(values(tensor) == std::vector<float>(5, 2.f));
}

TEST_CASE("Tensor handles share memory, clones do not") {
  auto a = counting({2, 2});
  CHECK(a.unique());
  {
    const auto b = a;
    CHECK(b.data() == a.data());
    CHECK_FALSE(a.unique());
  }
  CHECK(a.unique());

  const auto c = lpw::clone(a);
  a.data()[0] = 9;
  CHECK(values(c) == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("Tensor memory outlives the handle it came from and then returns to the pool") {
  const std::size_t before = lpw::cpu_pool().usage().used;
  {
    Tensor<float> view;
    {
      const auto whole = counting({4, 1000});
      view = whole.rows(1, 1);
    }
    CHECK(view.data()[999] == 1999);
    CHECK(lpw::cpu_pool().usage().used == before + lpw::CpuPool::round_up(4 * 1000 * sizeof(float)));
  }
  CHECK(lpw::cpu_pool().usage().used == before);
}

TEST_CASE("Tensor rows are a view of the first axis") {
  auto tensor = counting({4, 2, 3});
  auto view = tensor.rows(1, 2);
  CHECK(view.shape() == Shape{2, 2, 3});
  CHECK(view.data() == tensor.data() + 6);
  CHECK(view.contiguous());
  view.data()[0] = -1;
  CHECK(tensor.data()[6] == -1);
  CHECK(tensor.rows(4, 0).size() == 0);
}

TEST_CASE("Tensor reshaped keeps the memory and the number of elements") {
  const auto tensor = counting({2, 6});
  const auto view = tensor.reshaped({3, 2, 2});
  CHECK(view.data() == tensor.data());
  CHECK(view.row_stride() == 4);
  CHECK(view.row(2)[0] == 8);
  CHECK(counting({1}).reshaped({}).shape() == Shape{});
}

TEST_CASE("Tensor columns view a parameter in every member's row of a store") {
  auto store = counting({3, 10});  // K = 3 members, P = 10 numbers each
  auto parameter = store.columns(4, {2, 3});
  CHECK(parameter.shape() == Shape{3, 2, 3});
  CHECK(parameter.row_stride() == 10);
  CHECK_FALSE(parameter.contiguous());
  CHECK(parameter.row(2) == store.data() + 24);
  CHECK(values(parameter) == std::vector<float>{4, 5, 6, 7, 8, 9, 14, 15, 16, 17, 18, 19, 24, 25, 26, 27, 28, 29});

  SECTION("filling writes these columns and no others") {
    lpw::fill(parameter, -1.f);
    const float sum = std::accumulate(store.data(), store.data() + store.size(), 0.f);
    CHECK(sum == 0 + 1 + 2 + 3 + 10 + 11 + 12 + 13 + 20 + 21 + 22 + 23 - 18);
  }
  SECTION("copying in and out keeps the other columns") {
    auto saved = lpw::clone(parameter);
    CHECK(saved.contiguous());
    lpw::fill(store, 0.f);
    lpw::copy(saved, parameter);
    CHECK(values(parameter) == values(saved));
    CHECK(store.data()[3] == 0);
    CHECK(store.data()[10] == 0);
  }
  SECTION("rows of it keep the stride") {
    const auto last = parameter.rows(1, 2);
    CHECK(last.row_stride() == 10);
    CHECK(values(last) == std::vector<float>{14, 15, 16, 17, 18, 19, 24, 25, 26, 27, 28, 29});
  }
  SECTION("one row of it is contiguous and can be reshaped") {
    const auto one = parameter.rows(1, 1);
    CHECK(one.contiguous());
    CHECK(values(one.reshaped({3, 2})) == std::vector<float>{14, 15, 16, 17, 18, 19});
  }
  SECTION("its rows can be reshaped where they lie") {
    const auto rows = parameter.reshaped({3, 3, 2});
    CHECK(rows.row_stride() == 10);
    CHECK(values(rows) == values(parameter));
  }
  SECTION("a store of one member is contiguous in every parameter") {
    CHECK(counting({1, 10}).columns(4, {2, 3}).contiguous());
  }
}

TEST_CASE("Tensor tensor_of, to_host and to_device") {
  const std::vector<std::int32_t> labels{3, 1, 2};
  const auto tensor = lpw::tensor_of<std::int32_t>({3}, labels);
  CHECK(std::vector<std::int32_t>(tensor.data(), tensor.data() + 3) == labels);
  CHECK(lpw::to_host(tensor).data() == tensor.data());
  CHECK(lpw::to_device<Cpu>(tensor).data() == tensor.data());
}

TEST_CASE("Tensor errors name the operation, what it got and the shape") {
  const auto tensor = counting({3, 10});
  CHECK_THROWS_AS(tensor.rows(2, 2), ShapeError);
  CHECK_THROWS_WITH(tensor.rows(2, 2), "rows: [2, 4) of a tensor [3 10]");
  CHECK_THROWS_WITH(tensor.rows(-1, 1), "rows: [-1, 0) of a tensor [3 10]");
  CHECK_THROWS_WITH(tensor.rows(0, -1), "rows: [0, -1) of a tensor [3 10]");
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_WITH(tensor.rows(most, 2), "rows: 2 from 9223372036854775807 on of a tensor [3 10]");
  CHECK_THROWS_AS(tensor.rows(1, most), ShapeError);
  CHECK_THROWS_WITH(tensor.columns(most, {3}), "columns: [3] at 9223372036854775807 of a tensor [3 10]");
  CHECK_THROWS_WITH(tensor.reshaped({4, 7}), "reshaped: [3 10] has 30 elements, [4 7] has 28");
  CHECK_THROWS_WITH(tensor.columns(4, {2, 3}).reshaped({18}), "reshaped: [3 2 3] is not contiguous");
  CHECK_THROWS_WITH(tensor.columns(8, {3}), "columns: [3] at 8 of a tensor [3 10]");
  CHECK_THROWS_WITH(counting({2, 2, 2}).columns(0, {1}), "columns: [1] at 0 of a tensor [2 2 2]");
  auto other = counting({10, 3});
  CHECK_THROWS_WITH(lpw::copy(tensor, other), "copy: from [3 10] to [10 3]");
  CHECK_THROWS_WITH(lpw::tensor_of<float>({2}, std::vector<float>{1}), "tensor_of: 1 values for [2]");
}
