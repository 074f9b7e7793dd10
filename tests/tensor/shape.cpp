#include <cstdint>
#include <limits>
#include <lpw/tensor/shape.hpp>
#include <vector>

#include "catch.hpp"

using lpw::describe;
using lpw::Shape;
using lpw::ShapeError;

TEST_CASE("Shape has rank, extents and sizes") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape[0] == 2);
  CHECK(shape[2] == 4);
  CHECK(shape[-1] == 4);
  CHECK(shape[-3] == 2);
  CHECK(shape.size() == 24);
  CHECK(shape.size_from(0) == 24);
  CHECK(shape.size_from(1) == 12);
  CHECK(shape.size_from(3) == 1);
  CHECK(std::vector<std::int64_t>(shape.begin(), shape.end()) == std::vector<std::int64_t>{2, 3, 4});
}

TEST_CASE("Shape of rank 0 has one element, a zero extent none") {
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{3, 0, 2}.size() == 0);
}

TEST_CASE("Shape works in constant expressions") {
  STATIC_REQUIRE(Shape{2, 3}.size() == 6);
  STATIC_REQUIRE(Shape{2, 3}.with(1, 5) == Shape{2, 5});
}

TEST_CASE("Shapes are equal when rank and all extents are") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{} != Shape{1});
  CHECK(Shape{2, 3, 4}.slice(0, 2) == Shape{2, 3});  // the axis left over takes no part in the comparison
}

TEST_CASE("Shape is rebuilt by with, slice and prepend") {
  const Shape shape{2, 3, 4};
  CHECK(shape.with(0, 7) == Shape{7, 3, 4});
  CHECK(shape.with(-1, 7) == Shape{2, 3, 7});
  CHECK(shape.slice(1, 3) == Shape{3, 4});
  CHECK(shape.slice(2, 2) == Shape{});
  CHECK(shape.prepend(5) == Shape{5, 2, 3, 4});
  CHECK(Shape{}.prepend(5) == Shape{5});
  CHECK(shape == Shape{2, 3, 4});
}

TEST_CASE("Shape refuses a seventh axis and negative extents") {
  CHECK(Shape{1, 2, 3, 4, 5, 6}.rank() == Shape::max_rank);
  CHECK_THROWS_AS((Shape{1, 2, 3, 4, 5, 6, 7}), ShapeError);
  CHECK_THROWS_AS((Shape{1, 2, 3, 4, 5, 6}.prepend(1)), ShapeError);
  CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5, 6, 7}), "shape: more than 6 axes");
  CHECK_THROWS_WITH((Shape{2, -1}), "shape: negative extent -1");
}

TEST_CASE("Shape refuses more elements than can be counted") {
  constexpr std::int64_t large = std::int64_t{1} << 31, most = std::numeric_limits<std::int64_t>::max();
  CHECK(Shape{large, large}.size() == std::int64_t{1} << 62);
  CHECK(Shape{most}.size() == most);
  CHECK(Shape{most, 0}.size() == 0);
  const char* message = "shape: [2147483648 2147483648 2] has more than 2^63 - 1 elements";
  CHECK_THROWS_AS((Shape{large, large, 2}), ShapeError);
  CHECK_THROWS_WITH((Shape{large, large, 2}), message);
  CHECK_THROWS_WITH((Shape{large, large, 1}.with(-1, 2)), message);
  CHECK_THROWS_WITH((Shape{large, 2}.prepend(large)), message);
  CHECK_THROWS_AS((Shape{large, large, large, large, 4}), ShapeError);  // which would wrap around to 0
  CHECK_THROWS_AS((Shape{0, large, large, 2}), ShapeError);             // size_from(1) counts them
  CHECK_THROWS_AS(Shape{2}.with(0, -1), ShapeError);
}

TEST_CASE("describe names the axes where there is a name for each") {
  CHECK(describe({}) == "[]");
  CHECK(describe({4, 128, 32}) == "[4 128 32]");
  CHECK(describe({4, 128, 32}, "KBC") == "[K=4 B=128 C=32]");
  CHECK(describe({4, 128, 32}, "KB") == "[4 128 32]");
  CHECK(lpw::to_text(Shape{1, 2}) == "[1 2]");
}
