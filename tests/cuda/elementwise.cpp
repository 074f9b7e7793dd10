#include "cuda/operands.hpp"

#include <lpw/autograd/elementwise.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("addition on the GPU gives the CPU's bits", "[gpu]", float, bfloat16) {
  for (const std::int64_t length : {1, 7, 64, 1029}) {
    INFO("length " << length);
    const auto a = random_tensor<TestType>({3, length}, 1), b = random_tensor<TestType>({3, length}, 2);
    auto expected = clone(a);
    add_in_place(expected, b);
    const auto da = on_device(a), db = on_device(b);
    CHECK(equal(add_forward(da, db), expected));  // da is held here too
    CHECK(equal(da, a));
    auto moved = on_device(a);
    const void* memory = moved.data();
    const auto sum = add_forward(std::move(moved), db);
    CHECK(equal(sum, expected));
    CHECK(sum.data() == memory);

    auto rows = on_device(random_parameter<TestType>({3, length}, true, 1));
    add_in_place(rows, db);
    CHECK(equal(rows, expected));
    CHECK(gaps_untouched(rows));
    CHECK(equal(add_forward(on_device(random_parameter<TestType>({3, length}, true, 1)), db), expected));
    // Memory that no vector can begin at.
    auto shifted = on_device(random_tensor<TestType>({length + 1}, 1)).rows(1, length);
    const auto host = to_host(shifted);
    add_in_place(shifted, db.rows(1, 1).reshaped({length}));
    auto shifted_expected = clone(host);
    add_in_place(shifted_expected, b.rows(1, 1).reshaped({length}));
    CHECK(equal(shifted, shifted_expected));
  }
  auto a = on_device(random_tensor<TestType>({3, 4}, 1));
  CHECK_THROWS_AS(add_in_place(a, on_device(random_tensor<TestType>({4, 3}, 1))), ShapeError);
}

TEMPLATE_TEST_CASE("ReLU on the GPU gives the CPU's bits", "[gpu]", float, bfloat16) {
  for (const std::int64_t size : {1, 8, 1029})
    for (const bool accumulate : {false, true}) {
      INFO("size " << size << " accumulate " << accumulate);
      const auto x = random_tensor<TestType>({size}, 1), dy = random_tensor<TestType>({size}, 2);
      const auto y = relu_forward(x);
      Gradient<TestType, Cpu> dx{random_tensor<TestType>({size}, 3), accumulate};
      auto found = on_device(dx);
      relu_backward(y, dy, dx);
      const auto dy_there = on_device(dy), y_there = relu_forward(on_device(x));
      CHECK(equal(y_there, y));
      relu_backward(y_there, dy_there, found);
      CHECK(equal(found.tensor, dx.tensor));
    }
}

TEMPLATE_TEST_CASE("channel factors and biases on the GPU give the CPU's values and gradients", "[gpu]", float,
                   bfloat16) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : odd_channels)
      for (const auto& kind : parameter_kinds)
        for (const bool accumulate : {false, true}) {
          const std::int64_t rows = members == 3 ? 1 : 150 / channels + 2;
          INFO("members " << members << " rows " << rows << " channels " << channels << ' ' << kind << " accumulate "
                          << accumulate);
          const auto x = random_tensor<TestType>({members, rows, channels}, 1),
                     dy = random_tensor<TestType>(x.shape(), 2);
          const auto factor = kind.make(members, channels, 3);
          Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 4), accumulate};
          Gradient<float, Cpu> dfactor{kind.make(members, channels, 5), accumulate},
              dbias{kind.make(members, channels, 6), accumulate};
          auto found_dx = on_device(dx);
          auto found_dfactor = on_device(dfactor), found_dbias = on_device(dbias);
          scale_channels_backward_data(dy, factor, dx);
          scale_channels_backward_factor(x, dy, dfactor);
          linear_backward_bias(dy, dbias);

          const auto x_there = on_device(x), dy_there = on_device(dy);
          const auto factor_there = on_device(factor);
          CHECK(equal(scale_channels_forward(x_there, factor_there), scale_channels_forward(x, factor)));
          CHECK(equal(add_channels_forward(x_there, factor_there), add_channels_forward(x, factor)));
          scale_channels_backward_data(dy_there, factor_there, found_dx);
          scale_channels_backward_factor(x_there, dy_there, found_dfactor);
          linear_backward_bias(dy_there, found_dbias);
          // The GPU rounds dy s + dx once.
          CHECK(distance(found_dx.tensor, dx.tensor) <= 2 * epsilon<float>() + epsilon<TestType>());
          // Sums of terms below 1 in another order: their roundings add up like the root of their number, with a wide
          // margin.
          const double sums = 20 * epsilon<float>() * std::sqrt(double(rows * members));
          CHECK(distance(found_dfactor.tensor, dfactor.tensor) <= sums);
          CHECK(distance(found_dbias.tensor, dbias.tensor) <= sums);
          CHECK(gaps_untouched(found_dfactor.tensor));
          CHECK(gaps_untouched(found_dbias.tensor));
        }
}

TEST_CASE("a channel's sum over many rows, which several blocks form, is right and the same every time", "[gpu]") {
  const auto dy = random_tensor<float>({2, 20000, 3}, 1);
  const auto dy_there = on_device(dy);
  for (const bool shared : {false, true}) {
    Gradient<float, Cpu> expected{zeros<float, Cpu>({shared ? 1 : 2, 3})};
    linear_backward_bias(dy, expected);
    auto first = on_device(expected), second = on_device(expected);
    linear_backward_bias(dy_there, first);
    linear_backward_bias(dy_there, second);
    CHECK(distance(first.tensor, expected.tensor) <= 20 * epsilon<float>() * 200);  // as above
    CHECK(equal(second.tensor, to_host(first.tensor)));
  }
}

TEMPLATE_TEST_CASE("element-wise operations recorded on the GPU have the CPU's values and gradients", "[gpu]", float,
                   bfloat16) {
  const Shape shape{3, 5, 17};
  const auto x = random_tensor<TestType>(shape, 1), other = random_tensor<TestType>(shape, 2);
  const auto factor = random_parameter<float>({3, 17}, true, 3), bias = random_tensor<float>({1, 17}, 4);
  const auto run = [&]<class D>(const auto& place, D) {
    auto dx = zeros<TestType, D>(shape);
    auto dfactor = zeros<float, D>(factor.shape()), dbias = zeros<float, D>(bias.shape());
    Tape tape;
    const auto vx = tape.leaf(place(x), dx);
    const auto scaled = scale_channels(vx, tape.leaf(place(factor), dfactor));
    const auto y = relu(add(add_channels(scaled, tape.leaf(place(bias), dbias)), tape.input(place(other))));
    const auto value = y.value();
    backward_of_sum(tape, y);
    return std::vector{values_of(to_host(value)), values_of(to_host(dx)), values_of(to_host(dfactor)),
                       values_of(to_host(dbias))};
  };
  const auto expected = run([](const auto&tensor) { return tensor; }, Cpu()),
             found = run([](const auto&t) { return on_device(t); }, Cuda());
  CHECK(found[0] == expected[0]);
  CHECK(found[1] == expected[1]);
  for (const int parameter : {2, 3})
    for (std::size_t i = 0; i < expected[parameter].size(); ++i)  // sums of 5 and 15 terms below 1
      CHECK(std::abs(found[parameter][i] - expected[parameter][i]) <= 30 * epsilon<float>());
}
