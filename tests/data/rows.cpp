// Chosen rows of a tensor.
#include <lpw/data/rows.hpp>

#include <utility>
#include <vector>

#include <lpw/data/batch_loader.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

TEST_CASE("rows_at: rows in the order that is asked for, of any rank, type and stride", "[data]") {
  using lpw::data::rows_at;
  const auto x = lpw::test::random_tensor<float>({4, 2, 3}, 1);
  const std::vector<std::int64_t> some{3, 0, 3}, none, beyond{4}, below{-1};
  const auto found = rows_at(x, some);
  CHECK(found.shape() == lpw::Shape{3, 2, 3});
  for (std::int64_t j = 0; j < 3; ++j) CHECK(lpw::test::same_bits(found.rows(j, 1), x.rows(some[lpw::to_size(j)], 1)));
  CHECK(rows_at(x, none).shape() == lpw::Shape{0, 2, 3});
  const auto labels = lpw::tensor_of<std::int32_t>({4}, std::vector<std::int32_t>{5, 6, 7, 8});
  CHECK(lpw::test::values_of(rows_at(labels, some)) == std::vector<double>{8, 5, 8});
  const auto strided = lpw::test::random_parameter<float>({4, 5}, true, 2);
  CHECK(lpw::test::same_bits(rows_at(strided, some).rows(1, 1), lpw::clone(strided.rows(0, 1))));
  CHECK_THROWS_WITH(rows_at(x, beyond), "rows_at: sample 4 is not in [0, 4)");
  CHECK_THROWS_AS(rows_at(x, below), lpw::OptionError);
  CHECK_THROWS_WITH(rows_at(lpw::Tensor<float, lpw::Cpu>(), some), "rows_at: expected a tensor [N ...], got []");
}

TEST_CASE("rows_at: members' minibatches of tensors in memory", "[data]") {
  const auto x = lpw::test::random_tensor<float>({6, 2}, 1);
  const auto labels = lpw::test::random_indices({6}, 3);
  const lpw::data::BatchLoader loader(6,
                                      [&](auto samples, const lpw::Philox&) {
                                        return std::pair(lpw::data::rows_at(x, samples),
                                                         lpw::data::rows_at(labels, samples));
                                      },
                                      {.batch = 3, .shuffle = false});
  for (auto& [inputs, of_inputs] : loader.epoch(0, 2)) {
    CHECK(lpw::test::same_bits(inputs, x.reshaped({2, 3, 2})));
    CHECK(lpw::test::same_bits(of_inputs, labels.reshaped({2, 3})));
  }
}
