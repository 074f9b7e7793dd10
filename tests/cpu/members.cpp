#include <lpw/cpu/members.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("mean_rows is exact for equal rows", "[members]", float, double) {
  const auto row = random_tensor<TestType>({1, 4, 5}, 1);
  for (const std::int64_t members : {1, 3, 7, 10}) {
    Tensor<TestType, Cpu> rows({members, 4, 5});
    for (std::int64_t k = 0; k < members; ++k) std::copy_n(row.data(), 20, rows.row(k));
    const auto mean = mean_rows(rows);
    CHECK(mean.shape() == Shape{1, 4, 5});
    CHECK(values_of(mean) == values_of(row));
  }
}

TEMPLATE_TEST_CASE("mean_rows averages rows of any stride", "[members]", float, double) {
  for (const bool strided : {false, true}) {
    const auto rows = random_parameter<TestType>({7, 3, 5}, strided, 1);
    const auto values = values_of(rows);
    Expected expected(15);
    for (std::int64_t i = 0; i < 7 * 15; ++i) expected.add(i % 15, values[i] / 7);
    expected.terms = 8;
    CHECK(mismatch<TestType>(mean_rows(rows), expected) == "");
  }
}

TEST_CASE("add_member_noise adds normal noise of the rows' own size, independent between members", "[members]") {
  const std::int64_t members = 3, size = 20000;
  const double deviation = 0.5;
  auto rows = full<float, Cpu>({members, size}, 2.f);  // rms 2
  add_member_noise(rows, deviation, Philox(1, Stream::release));
  std::vector<double> sum(members), square(members);
  double product = 0;
  for (std::int64_t k = 0; k < members; ++k)
    for (std::int64_t i = 0; i < size; ++i) {
      const double noise = double(rows.row(k)[i]) - 2;
      sum[k] += noise;
      square[k] += noise * noise;
      if (k > 0) product += noise * (double(rows.row(k - 1)[i]) - 2);
    }
  const double n = size;
  for (std::int64_t k = 0; k < members; ++k) {  // expected: N(0, 1); five standard deviations of each estimate
    CHECK(std::abs(sum[k] / n) <= 5 / std::sqrt(n));
    CHECK(std::abs(square[k] / n - 1) <= 5 * std::sqrt(2 / n));
  }
  CHECK(std::abs(product / (2 * n)) <= 5 / std::sqrt(2 * n));
}

TEST_CASE("add_member_noise does not depend on the rows' stride", "[members]") {
  auto strided = random_parameter<double>({1, 6}, false, 1);
  Tensor<double, Cpu> store = full<double, Cpu>({3, 11}, 77.0), packed({3, 6});
  auto view = store.columns(3, {6});
  for (std::int64_t k = 0; k < 3; ++k) {
    std::copy_n(strided.data(), 6, view.row(k));
    std::copy_n(strided.data(), 6, packed.row(k));
  }
  add_member_noise(view, 0.1, Philox(2, Stream::release));
  add_member_noise(packed, 0.1, Philox(2, Stream::release));
  CHECK(values_of(view) == values_of(packed));
  CHECK(gaps_untouched(view));
  CHECK(std::vector<double>(packed.row(0), packed.row(0) + 6) != std::vector<double>(packed.row(1), packed.row(1) + 6));
}

TEST_CASE("add_member_noise takes its size from another row", "[members]") {
  const auto of = random_tensor<double>({1, 50}, 1);
  Tensor<double, Cpu> rows({3, 50});
  for (std::int64_t k = 0; k < 3; ++k) std::copy_n(of.data(), 50, rows.row(k));
  auto noise = zeros<double, Cpu>({3, 50});
  add_member_noise(noise, of, 0.3, Philox(2, Stream::release));
  add_member_noise(rows, 0.3, Philox(2, Stream::release));
  CHECK(largest_magnitude(noise) > 0.3);
  CHECK(largest_difference(rows, add_row_forward(noise, of)) <= 2 * epsilon<double>());  // one rounding may be less
}

TEMPLATE_TEST_CASE("add_row adds a shared row, and its gradients are the members' and their sum in order", "[members]",
                   float, double) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 17, 9000})
      for (const bool strided : {false, true})
        for (const bool accumulate : {false, true}) {
          INFO("members " << members << " length " << length << " strided " << strided << " adds " << accumulate);
          const auto rows = random_parameter<TestType>({members, length}, strided, 1),
                     row = random_tensor<TestType>({1, length}, 2), dy = random_tensor<TestType>({members, length}, 3);
          const auto sum = add_row_forward(rows, row);
          Gradient<TestType, Cpu> drows{random_parameter<TestType>({members, length}, strided, 4), accumulate},
              drow{random_tensor<TestType>({1, length}, 5), accumulate};
          auto expected_rows = clone(drows.tensor), expected_row = clone(drow.tensor);
          for (std::int64_t i = 0; i < length; ++i) {
            TestType total = accumulate ? expected_row.data()[i] : TestType(0);
            for (std::int64_t k = 0; k < members; ++k) {
              TestType& own = expected_rows.row(k)[i];
              own = (accumulate ? own : TestType(0)) + dy.row(k)[i];
              total += dy.row(k)[i];
            }
            expected_row.data()[i] = total;
          }
          Gradient<TestType, Cpu> alone{clone(drow.tensor), accumulate}, none;
          add_row_backward(dy, none, alone);
          add_row_backward(dy, drows, drow);
          CHECK(same_values(drows.tensor, expected_rows));
          CHECK(same_values(drow.tensor, expected_row));
          CHECK(same_values(alone.tensor, expected_row));
          CHECK(gaps_untouched(drows.tensor));
          bool right = true;
          for (std::int64_t k = 0; k < members; ++k)
            for (std::int64_t i = 0; i < length; ++i) right = right && sum.row(k)[i] == rows.row(k)[i] + row.data()[i];
          CHECK(right);
        }
}

TEST_CASE("move_average moves by the weight, weights 1/n make a plain mean", "[members]") {
  auto average = full<double, Cpu>({2, 3}, 4.0);
  move_average(average, full<double, Cpu>({2, 3}, 8.0), 0.25);
  CHECK(values_of(average) == std::vector<double>(6, 5));

  Tensor<double, Cpu> mean = zeros<double, Cpu>({5});
  std::vector<double> sum(5);
  for (int n = 1; n <= 4; ++n) {
    const auto value = random_tensor<double>({5}, static_cast<std::uint32_t>(n));
    move_average(mean, value, 1.0 / n);
    for (int i = 0; i < 5; ++i) sum[i] += value.data()[i] / 4;
  }
  for (int i = 0; i < 5; ++i)
    CHECK(std::abs(mean.data()[i] - sum[i]) <= 8 * epsilon<double>());  // a few roundings of values below 1
  CHECK_THROWS_AS(move_average(mean, zeros<double, Cpu>({4}), 0.5), ShapeError);
}

TEST_CASE("member primitives give the same bits on any number of threads", "[members]") {
  const auto rows = random_tensor<float>({5, 30000}, 1);
  CHECK(same_on_any_threads([&] {
    auto average = random_tensor<float>({1, 30000}, 2);
    const auto mean = mean_rows(rows);
    move_average(average, mean, 0.3);
    return std::vector{values_of(mean), values_of(average)};
  }));
}
