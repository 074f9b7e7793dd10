#include "emulator/kernel_check.hpp"

#include <lpw/kernels/elementwise.cuh>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/dropout.hpp>
#include <lpw/cpu/elementwise.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

TEMPLATE_TEST_CASE("the kernels relu_forward and relu_backward give the CPU's bits", "[elementwise]", float, bfloat16,
                   half) {
  for (const std::int64_t size : {1, 3, 8, 1029, 20000})
    with_widths<TestType>(true, [&](auto width) {
      INFO("size " << size << " width " << width);
      const auto x = awkward_tensor<TestType>({size}, 1), dy = random_tensor<TestType>({size}, 2);
      auto y = unwritten<TestType>({size});
      const auto plan = small_plan(size / width);
      const kernels::ReluForward<TestType> forward{x.data(), y.data(), size};
      CHECK(same_on_any_order(
          plan, [&] { kernels::relu_forward<TestType, width()>(forward); }, y));
      CHECK(same_values(y, relu_forward(x), Nan::equals_nan));
      for (const bool accumulate : {false, true}) {
        auto dx = random_tensor<TestType>({size}, 3);
        Gradient<TestType, Cpu> expected{clone(dx), accumulate};
        relu_backward(y, dy, expected);
        const kernels::ReluBackward<TestType> backward{y.data(), dy.data(), dx.data(), size, accumulate};
        CHECK(same_on_any_order(
            plan, [&] { kernels::relu_backward<TestType, width()>(backward); }, dx));
        CHECK(same_values(dx, expected.tensor, Nan::equals_nan));
      }
    });
}

TEMPLATE_TEST_CASE("the kernel add gives the CPU's bits, in place, elsewhere, and in strided rows", "[elementwise]",
                   float, bfloat16, half) {
  for (const std::int64_t length : {1, 7, 1029, 9000})
    with_widths<TestType>(true, [&](auto width) {
      INFO("length " << length << " width " << width);
      auto a = random_tensor<TestType>({length}, 1);
      const auto b = awkward_tensor<TestType>({length}, 2);
      auto sum = unwritten<TestType>({length});
      auto expected = clone(a);
      add_in_place(expected, b);
      kernels::Add<TestType> p{a.data(), b.data(), sum.data(), 1, length, 0, 0, 0};
      const auto plan = small_plan(length / width);
      const auto kernel = [&] { kernels::add<TestType, width()>(p); };
      CHECK(same_on_any_order(plan, kernel, sum));
      CHECK(same_values(sum, expected, Nan::equals_nan));
      p.sum = a.data();
      CHECK(same_on_any_order(plan, kernel, a));
      CHECK(same_values(a, expected, Nan::equals_nan));
    });

  for (const std::int64_t length : {5, 64, 1200}) {
    auto target = random_parameter<TestType>({10, length}, true, 1);
    const auto value = random_tensor<TestType>({10, length}, 2);
    auto expected = clone(target);
    add_in_place(expected, value);
    const kernels::Add<TestType> p{target.data(), value.data(),        target.data(), 10,
                                   length,        target.row_stride(), length,        target.row_stride()};
    CHECK(same_on_any_order(
        small_plan(length, 3), [&] { kernels::add<TestType, 1>(p); }, target));
    CHECK(same_values(target, expected, Nan::equals_nan));
    CHECK(gaps_untouched(target));
  }
}

namespace {

/// Rows of odd lengths, of which some begin at 16 bytes, converted and added, and filled up with zeros.
template <class From, class To>
void check_convert() {
  constexpr int widest = kernels::convert_width<From, To>;
  for (const std::int64_t length : {1, 5, 8, 500, 1029, 9000})
    for (const std::int64_t rows : {1, 3})
      for (const bool wide : {false, true})
        for (const bool accumulate : {false, true}) {
          const std::int64_t stride = (length + widest - 1) / widest * widest + (wide ? widest : 5),
                             padded = accumulate ? length
                                      : wide     ? stride - widest
                                                 : stride - 2;
          INFO("rows " << rows << " of " << length << " wide " << wide << " accumulate " << accumulate);
          const auto from = awkward_tensor<From>({rows, stride}, 1);
          auto to = random_tensor<To>({rows, stride}, 2);
          auto expected = clone(to);
          for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t i = 0; i < padded; ++i) {
              To& element = expected.row(row)[i];
              const float value = i < length ? float(from.row(row)[i]) : 0.f;
              element = To(accumulate ? float(element) + value : value);
            }
          const kernels::Convert<From, To> p{.from = from.data(),
                                             .to = to.data(),
                                             .rows = rows,
                                             .length = length,
                                             .from_stride = stride,
                                             .to_stride = stride,
                                             .padded = padded,
                                             .accumulate = accumulate};
          if (wide) {
            CHECK(same_on_any_order(
                small_plan(length / widest, rows), [&] { kernels::convert<From, To, widest>(p); }, to));
          } else {
            CHECK(same_on_any_order(
                small_plan(length, rows), [&] { kernels::convert<From, To, 1>(p); }, to));
          }
          CHECK(same_values(to, expected, Nan::equals_nan));
        }
}

}  // namespace

TEMPLATE_TEST_CASE("the kernel convert rounds, adds, and fills rows up with zeros", "[elementwise]", bfloat16, half) {
  check_convert<float, TestType>();
  check_convert<TestType, float>();
}

namespace {

/// For members of so many runs of so many elements.
template <class T>
void check_dropout(std::int64_t members, std::int64_t length, const DropoutMask& mask) {
  const bool quads_begin = mask.before % 4 == 0 && mask.whole % 4 == 0;
  with_widths<T>(length % widest<T> == 0 && quads_begin, [&](auto width) {
    for (const bool accumulate : {false, true}) {
      INFO("members " << members << " runs " << mask.runs << " length " << length << " from " << mask.before << " of "
                      << mask.whole << " width " << width << " accumulate " << accumulate);
      const std::uint32_t step = accumulate ? 3 : 4;  // in memory, beside the random numbers' own 1 or 0
      const auto x = random_tensor<T>({members, mask.runs, length}, 1);
      auto y = random_tensor<T>(x.shape(), 2);
      Gradient<double, Cpu> expected{converted<double>(y), accumulate};
      apply_dropout(converted<double>(x), mask, expected);
      const kernels::Dropout<T> p{.x = x.data(),
                                  .y = y.data(),
                                  .members = members,
                                  .runs = mask.runs,
                                  .length = length,
                                  .before = mask.before,
                                  .whole = mask.whole,
                                  .random = Philox(9, Stream::dropout, 4 - step),
                                  .step = &step,
                                  .operation = mask.operation,
                                  .first_member = mask.first_member,
                                  .rate = float(mask.rate),
                                  .keep = float(1 / (1 - mask.rate)),
                                  .accumulate = accumulate};
      CHECK(same_on_any_order(
          small_plan(length / 4, members * mask.runs), [&] { kernels::dropout<T, width()>(p); }, y));
      // One product and one sum in float of values below 3, then a rounding to T.
      CHECK(distance(y, expected.tensor) <= 4 * epsilon<float>() + epsilon<T>() / 2);
      std::int64_t kept = 0;
      for (std::int64_t i = 0; i < y.size() && !accumulate; ++i) {
        if ((float(y.data()[i]) != 0) != (expected.tensor.data()[i] != 0)) FAIL("the mask differs at element " << i);
        kept += float(y.data()[i]) != 0;
      }
      if (!accumulate && y.size() > 1000) CHECK(std::abs(double(kept) / double(y.size()) - 0.7) < 0.06);
    }
  });
}

}  // namespace

TEMPLATE_TEST_CASE("the kernel dropout draws the CPU's masks", "[elementwise]", float, bfloat16, half) {
  DropoutMask mask{Philox(9, Stream::dropout, 4), 3, 20, 0.3};
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 5, 64, 1027, 2048}) check_dropout<TestType>(members, length, mask);
  for (const std::int64_t length : {1, 5, 64})  // of parts of a minibatch, whose elements begin anywhere
    for (const auto& [before, whole] : {std::pair<std::int64_t, std::int64_t>{0, 64}, {8, 100}, {3, 81}, {6, 72}}) {
      mask.runs = 3, mask.before = before, mask.whole = whole;
      check_dropout<TestType>(1, length, mask);
    }
}

TEMPLATE_TEST_CASE("the kernel affine_forward gives the CPU's bits", "[elementwise]", float, bfloat16, half) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : channel_counts)
      with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
        for (const bool relu : {false, true}) {
          const std::int64_t rows = 700 / channels + 3;
          INFO("members " << members << " channels " << channels << " width " << width << " relu " << relu);
          Activation<TestType, Cpu> x{
              awkward_tensor<TestType>({members, rows, channels}, 1), random_tensor<float>({members, channels}, 4),
              random_tensor<float>({members, channels}, 2), random_tensor<float>({members, channels}, 3), relu};
          auto y = unwritten<TestType>(x.shape());
          const auto plan = plan_member_rows(members, rows, channels, width, false);
          const kernels::AffineForward<TestType> p{x.raw.data(),   y.data(), x.mean.data(), x.scale.data(),
                                                   x.shift.data(), relu,     plan.tiling};
          CHECK(same_on_any_order(
              plan.launch, [&] { kernels::affine_forward<TestType, width()>(p); }, y));
          CHECK(same_values(y, materialize(x), Nan::equals_nan));
        }
      });
}

TEMPLATE_TEST_CASE("the kernel add_channels gives the CPU's bits, for a bias per member and a shared one",
                   "[elementwise]", float, bfloat16, half) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : channel_counts)
      with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
        for (const std::int64_t bias_rows : {std::int64_t{1}, members}) {
          const std::int64_t rows = 500 / channels + 2;
          INFO("members " << members << " channels " << channels << " width " << width << " bias rows " << bias_rows);
          auto x = awkward_tensor<TestType>({members, rows, channels}, 1);
          const auto bias = random_parameter<float>({bias_rows, channels}, true, 2);
          const auto expected = add_channels_forward(x, bias);
          const auto plan = plan_member_rows(members, rows, channels, width, false);
          const kernels::AddChannels<TestType> p{x.data(), x.data(), bias.data(),
                                                 bias_rows == 1 ? 0 : bias.row_stride(), plan.tiling};
          CHECK(same_on_any_order(
              plan.launch, [&] { kernels::add_channels<TestType, width()>(p); }, x));
          CHECK(same_values(x, expected, Nan::equals_nan));
        }
      });
}
