#include <lpw/autograd/add_row.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("add_row: values and gradients, of one member and of several", "[add_row]") {
  const Tape tape;
  const std::vector<double> rows{1, 2, 3, 4, 5, 6}, row{10, 20, 30};
  const auto sum = add_row(tape.input(tensor_of<double>({2, 3}, rows)), tape.input(tensor_of<double>({1, 3}, row)));
  CHECK(values_of(sum.value()) == std::vector<double>{11, 22, 33, 14, 25, 36});
  for (const std::int64_t members : {1, 3})
    expect_gradient(
        "add_row", [](const auto& in) { return add_row(in[0], in[1]); }, random_inputs({{members, 2, 5}, {1, 2, 5}}));
}

TEST_CASE("add_row: rows of a store are read where they lie, and their gradients added there", "[add_row]") {
  const auto rows = random_parameter<double>({3, 2, 5}, true, 1), row = random_parameter<double>({1, 2, 5}, true, 2);
  auto drows = random_parameter<double>({3, 2, 5}, true, 3), drow = random_parameter<double>({1, 2, 5}, false, 4);
  const auto before = clone(drows), before_row = clone(drow);
  Tape tape;
  const auto y = add_row(tape.leaf(rows, drows), tape.leaf(row, drow));
  const auto value = y.value();
  backward_of_sum(tape, y);
  CHECK(gaps_untouched(drows));
  for (std::int64_t k = 0; k < 3; ++k)
    for (std::int64_t i = 0; i < 10; ++i) {
      CHECK(value.row(k)[i] == rows.row(k)[i] + row.data()[i]);
      CHECK(drows.row(k)[i] == before.row(k)[i] + 1);
    }
  for (std::int64_t i = 0; i < 10; ++i) CHECK(drow.data()[i] == before_row.data()[i] + 1 + 1 + 1);
}

TEST_CASE("add_row: shapes that do not fit are refused", "[add_row]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  const auto refused = [&](const Shape& rows, const Shape& row) {
    return message_of<ShapeError>([&] { (void)add_row(variable(rows), variable(row)); });
  };
  CHECK(refused({3, 4}, {2, 4}) == "add_row: rows are [3 4], the row is [2 4]; expected [1 ...] of the same extents");
  CHECK_FALSE(refused({3, 4}, {1, 5}).empty());
  CHECK_FALSE(refused({3, 4}, {1, 4, 1}).empty());
}
