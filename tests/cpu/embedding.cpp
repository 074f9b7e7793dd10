#include <lpw/cpu/embedding.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("embedding: rows of the table, and sums over their places", "[embedding]", float, double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const std::int64_t rows : {1, 3})
    for (const std::int64_t width : {1, 5, 64, 131})
      for (const bool accumulate : {false, true}) {
        INFO("weight rows " << rows << " width " << width << " accumulate " << accumulate);
        const auto indices = random_indices({3, 7, 2}, 6);
        const auto weight = random_parameter<W>({rows, 6, width}, true, 1);
        const auto y = embedding_forward<TestType>(indices, weight);
        REQUIRE(y.shape() == Shape{3, 7, 2, width});
        const auto dy = random_tensor<TestType>(y.shape(), 2);
        Gradient<W, Cpu> dweight{random_parameter<W>(weight.shape(), true, 3), accumulate};
        Expected expected(dweight.tensor, accumulate);
        expected.terms = 43;
        for (std::int64_t i = 0; i < indices.size(); ++i)
          for (std::int64_t e = 0; e < width; ++e) {
            const std::int64_t k = i / 14, row = (rows == 1 ? 0 : k) * 6 + indices.data()[i];
            REQUIRE(double(y.data()[i * width + e]) ==
                    double(TestType(member_row(weight, k)[indices.data()[i] * width + e])));
            expected.add(row * width + e, double(dy.data()[i * width + e]));
          }
        embedding_backward(indices, dy, dweight);
        CHECK(mismatch<TestType>(dweight.tensor, expected) == "");
        CHECK(gaps_untouched(dweight.tensor));
      }
}

TEST_CASE("embedding: the same bits on any number of threads", "[embedding]") {
  const auto indices = random_indices({2, 500}, 6);
  const auto dy = random_tensor<float>({2, 500, 200}, 1);
  CHECK(same_on_any_threads([&] {
    Gradient<float, Cpu> dweight{Tensor<float, Cpu>({1, 6, 200}), false};
    embedding_backward(indices, dy, dweight);
    return values_of(dweight.tensor);
  }));
}
