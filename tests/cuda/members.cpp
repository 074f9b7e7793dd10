#include "cuda/operands.hpp"

#include <lpw/cpu/members.hpp>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("mean_rows on the GPU averages rows of any stride, exactly where all are equal", "[gpu]") {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 17, 64, 1027})
      for (const bool strided : {false, true}) {
        INFO("members " << members << " length " << length << " strided " << strided);
        auto rows = random_parameter<float>({members, length}, strided, 1);
        CHECK(distance(mean_rows(on_device(rows)), mean_rows(rows)) <=
              4 * epsilon<float>());  // ten differences below 2, over ten
        for (std::int64_t k = 1; k < members; ++k) std::copy_n(rows.row(0), length, rows.row(k));
        CHECK(equal(mean_rows(on_device(rows)), clone(rows.rows(0, 1))));
      }
  CHECK(mean_rows(on_device(random_tensor<float>({3, 2, 5}, 1))).shape() == Shape{1, 2, 5});
}

TEST_CASE("release noise on the GPU is the CPU's", "[gpu]") {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 17, 3001})
      for (const bool strided : {false, true}) {
        INFO("members " << members << " length " << length << " strided " << strided);
        auto rows = random_parameter<float>({members, length}, strided, 1);
        for (std::int64_t k = 1; k < members; ++k) std::copy_n(rows.row(0), length, rows.row(k));
        const auto found = on_device(rows);
        add_member_noise(rows, 0.5, Philox(11, Stream::release, 5));
        add_member_noise(found, 0.5, Philox(11, Stream::release, 5));
        CHECK(distance(found, rows) <=
              4e-6);  // normal numbers up to 5 in float, of some ten roundings, times 0.5 and an rms below 1
        CHECK(gaps_untouched(found));
      }
}

TEST_CASE("release noise on the GPU takes its size from another row", "[gpu]") {
  const auto of = random_tensor<float>({1, 301}, 1);
  auto expected = zeros<float, Cpu>({3, 301});
  const auto found = to_device<Cuda>(expected);
  add_member_noise(expected, of, 0.5, Philox(11, Stream::release, 5));
  add_member_noise(found, on_device(of), 0.5, Philox(11, Stream::release, 5));
  CHECK(largest_magnitude(expected) > 0.5);
  CHECK(distance(found, expected) <= 4e-6);  // as above
}

TEST_CASE("add_row on the GPU is the CPU's, gradients included", "[gpu]") {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 17, 64, 1027})
      for (const bool strided : {false, true})
        for (const bool accumulate : {false, true}) {
          INFO("members " << members << " length " << length << " strided " << strided << " adds " << accumulate);
          const auto rows = random_parameter<float>({members, length}, strided, 1),
                     row = random_tensor<float>({1, length}, 2), dy = random_tensor<float>({members, length}, 3);
          CHECK(equal(add_row_forward(on_device(rows), on_device(row)), add_row_forward(rows, row)));
          Gradient<float, Cpu> drows{random_parameter<float>({members, length}, strided, 4), accumulate},
              drow{random_tensor<float>({1, length}, 5), accumulate};
          auto found_rows = on_device(drows), found_row = on_device(drow), alone = on_device(drow);
          Gradient<float, Cuda> none;
          add_row_backward(dy, drows, drow);
          add_row_backward(on_device(dy), found_rows, found_row);
          add_row_backward(on_device(dy), none, alone);
          CHECK(equal(found_rows.tensor, drows.tensor));
          CHECK(equal(found_row.tensor, drow.tensor));
          CHECK(equal(alone.tensor, drow.tensor));
          CHECK(gaps_untouched(found_rows.tensor));
        }
}

TEST_CASE("move_average on the GPU moves by the weight", "[gpu]") {
  for (const std::int64_t size : {1, 64, 5003}) {
    auto average = random_tensor<float>({size}, 1);
    const auto value = random_tensor<float>({size}, 2);
    auto found = on_device(average);
    move_average(average, value, 1 / 3.0);
    move_average(found, on_device(value), 1 / 3.0);
    CHECK(distance(found, average) <= 2 * epsilon<float>());  // the GPU may round the product with the sum
  }
  auto average = zeros<float, Cuda>({3});
  CHECK_THROWS_AS(move_average(average, zeros<float, Cuda>({4}), 0.5), ShapeError);
}
