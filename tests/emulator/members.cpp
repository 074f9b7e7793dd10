#include "emulator/kernel_check.hpp"

#include <lpw/kernels/members.cuh>

#include <lpw/cpu/members.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

/// A launch with the shared memory that release_rows takes.
[[nodiscard]] LaunchPlan release_plan(std::int64_t length, std::int64_t members) {
  LaunchPlan plan = small_plan(length, members);
  plan.shared_bytes = kernels::shared_bytes<float>(LaunchPlan::block / 32);
  return plan;
}

}  // namespace

TEST_CASE("the kernel release_rows adds the CPU's noise", "[members]") {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 3, 5, 17, 64, 3001})
      for (const bool strided : {false, true})
        for (const double deviation : {0.0, 0.5}) {
          INFO("members " << members << " length " << length << " strided " << strided << " deviation " << deviation);
          const auto of = random_tensor<float>({1, length}, 1);
          auto rows = random_parameter<float>({members, length}, strided, 2);
          const Philox random(11, Stream::release, 5);
          auto expected = clone(rows);
          if (deviation > 0) add_member_noise(expected, of, deviation, random);
          const kernels::ReleaseRows<float> p{of.data(),        rows.data(), rows.row_stride(), members, length,
                                              float(deviation), random};
          CHECK(same_on_any_order(
              release_plan(length, members), [&] { kernels::release_rows(p); }, rows));
          CHECK(distance(rows, expected) <=
                (deviation > 0 ? 4e-6 : 0));  // that of normal(), times a deviation below 1, and of a sum of squares
          CHECK(gaps_untouched(rows));
        }
}

TEMPLATE_TEST_CASE("the kernel mean_rows is the mean, and exact for equal rows", "[members]", float, bfloat16, half) {
  for (const int members : {1, 3, 10})
    for (const std::int64_t length : {1, 3, 5, 17, 64, 5000})
      with_widths<TestType>(length % widest<TestType> == 0, [&](auto width) {
        INFO("members " << members << " length " << length << " width " << width);
        auto rows = random_tensor<TestType>({members, length}, 1);
        auto mean = unwritten<TestType>({1, length});
        const kernels::MeanRows<TestType> p{rows.data(), mean.data(), length, members, length};
        const auto kernel = [&] { kernels::mean_rows<TestType, width()>(p); };
        CHECK(same_on_any_order(small_plan(length / width), kernel, mean));
        CHECK(distance(mean, mean_rows(converted<double>(rows))) <= 4 * epsilon<float>() + epsilon<TestType>());

        for (int k = 1; k < members; ++k) std::copy_n(rows.data(), length, rows.row(k));
        CHECK(same_on_any_order(small_plan(length / width), kernel, mean));
        CHECK(same_values(mean, rows.rows(0, 1), Nan::equals_nan));
      });
}

TEST_CASE("the kernel mean_rows reads strided rows", "[members]") {
  const auto rows = random_parameter<float>({10, 333}, true, 1);
  auto mean = unwritten<float>({1, 333});
  const kernels::MeanRows<float> p{rows.data(), mean.data(), rows.row_stride(), 10, 333};
  CHECK(same_on_any_order(
      small_plan(333), [&] { kernels::mean_rows<float, 1>(p); }, mean));
  CHECK(distance(mean, mean_rows(rows)) <= 4 * epsilon<float>());
}

TEST_CASE("the kernel add_row_backward gives the rows' gradients and their sum in order", "[members]") {
  for (const int members : {1, 3, 10})
    for (const std::int64_t length : {1, 17, 64, 3000})
      for (const bool add : {false, true})
        for (const int wanted : {1, 2, 3})  // of rows, of the row, of both
          with_widths<float>(length % 4 == 0, [&](auto width) {
            INFO("members " << members << " length " << length << " adds " << add << " wanted " << wanted << " width "
                            << width);
            const auto dy = random_tensor<float>({members, length}, 1);
            auto rows = random_tensor<float>({members, length}, 2), row = random_tensor<float>({1, length}, 3);
            Gradient<float, Cpu> drows{wanted & 1 ? clone(rows) : Tensor<float, Cpu>(), add},
                drow{wanted & 2 ? clone(row) : Tensor<float, Cpu>(), add};
            add_row_backward(dy, drows, drow);
            const kernels::AddRowBackward p{.dy = dy.data(),
                                            .drows = wanted & 1 ? rows.data() : nullptr,
                                            .drow = wanted & 2 ? row.data() : nullptr,
                                            .drows_stride = length,
                                            .length = length,
                                            .members = members,
                                            .add_to_drows = add,
                                            .add_to_drow = add};
            CHECK(same_on_any_order<4>(
                small_plan(length / width), [&] { kernels::add_row_backward<width()>(p); }, rows, row));
            if (wanted & 1) CHECK(same_values(rows, drows.tensor));
            if (wanted & 2) CHECK(same_values(row, drow.tensor));
          });
}

TEST_CASE("the kernel move_average moves both stores", "[members]") {
  for (const auto& [base_size, late_size] : {std::pair{1, 0}, std::pair{5003, 10 * 321}, std::pair{64, 3}}) {
    auto base = random_tensor<float>({base_size}, 1), late = random_tensor<float>({late_size}, 2);
    const auto base_value = random_tensor<float>({base_size}, 3), late_value = random_tensor<float>({late_size}, 4);
    auto expected_base = clone(base), expected_late = clone(late);
    move_average(expected_base, base_value, 1 / 3.0);
    move_average(expected_late, late_value, 1 / 3.0);
    const kernels::MoveAverage p{
        {base.data(), base_value.data(), base_size}, {late.data(), late_value.data(), late_size}, float(1 / 3.0)};
    CHECK(same_on_any_order(
        small_plan((base_size + late_size) / 4), [&] { kernels::move_average<4>(p); }, base, late));
    CHECK(distance(base, expected_base) <= 2 * epsilon<float>());
    CHECK(distance(late, expected_late) <= 2 * epsilon<float>());
  }
}
