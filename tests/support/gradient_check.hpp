// lpw's own check of gradients (lpw/autograd/gradient_check.hpp) as Catch2 has it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <lpw/autograd/gradient_check.hpp>

#include "catch.hpp"
#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

using lpw::gradient_mismatch;
using namespace lpw::gradients;

template <class Operation>
void expect_gradient(std::string_view name, const Operation& operation, const std::vector<DoubleTensor>& inputs,
                     const TapeOptions& options = {}) {
  CHECK(gradient_mismatch(name, operation, inputs, options) == "");
}

/// Random inputs of the given shapes, uniform in [-1, 1).
[[nodiscard]] inline std::vector<DoubleTensor> random_inputs(std::initializer_list<Shape> shapes) {
  std::vector<DoubleTensor> inputs;
  for (const Shape& shape : shapes)
    inputs.push_back(random_tensor<double>(shape, static_cast<std::uint32_t>(100 + inputs.size())));
  return inputs;
}

}  // namespace lpw::test
