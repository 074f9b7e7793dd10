#include <lpw/autograd/embedding.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

Tensor<std::int32_t, Cpu> indices_of(const Shape& shape, std::vector<std::int32_t> values) {
  return tensor_of<std::int32_t>(shape, values);
}

}  // namespace

TEST_CASE("embedding: gradients", "[embedding]") {
  const auto places = indices_of({2, 3, 2}, {0, 3, 3, 3, 1, 0, 2, 2, 0, 3, 1, 2});
  for (const std::int64_t rows : {1, 2})
    expect_gradient(
        "embedding",
        [&](const auto& in) {
          const Variable<std::int32_t, Cpu> indices({places}, in[0].recording(), -1);
          return embedding<double>(indices, in[0]);
        },
        random_inputs({{rows, 4, 3}}));
}

TEST_CASE("embedding: values, and shapes and indices that do not fit", "[embedding]") {
  const Tape tape;
  const auto weight = tape.input(random_tensor<float>({1, 4, 3}, 1));
  const auto y = embedding<float>(tape.input(indices_of({1, 2}, {3, 1})), weight);
  CHECK(y.shape() == Shape{1, 2, 3});
  CHECK(values_of(y.value())[0] == values_of(weight.value())[9]);

  const auto at = [&](const Shape& shape, std::vector<std::int32_t> values) {
    return tape.input(indices_of(shape, std::move(values)));
  };
  CHECK_THROWS_WITH(embedding<float>(at({2, 3}, {0, 1, 2, 3, 4, 0}), weight),
                    "embedding: index 4 of member 1, position 1 is outside [0, 4)");
  CHECK_THROWS_WITH(embedding<float>(at({1, 1}, {-1}), weight),
                    "embedding: index -1 of member 0, position 0 is outside [0, 4)");
  CHECK_THROWS_AS(embedding<float>(at({1}, {0}), weight), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({3, 1}, {0, 0, 0}), tape.input(zeros<float, Cpu>({2, 4, 3}))), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({1, 1}, {0}), tape.input(zeros<float, Cpu>({4, 3}))), ShapeError);
  CHECK_THROWS_AS(embedding<float>(at({1, 0}, {}), weight), ShapeError);
}
