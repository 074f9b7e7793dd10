#include "emulator/kernel_check.hpp"

#include <lpw/kernels/ascent.cuh>

#include <lpw/cpu/ascent.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

using AscentOperands = AscentStore<float, Cpu>;

[[nodiscard]] AscentOperands random_store(const Shape& shape, std::uint32_t key) {
  return {random_tensor<float>(shape, key), random_tensor<float>(shape, key + 1), unwritten<float>(shape)};
}

[[nodiscard]] kernels::AscentRows rows_of(const AscentOperands& store) {
  if (store.weight.empty()) return {};
  return {store.weight.data(), store.gradient.data(), store.weight.dim(0), store.weight.dim(1)};
}

/// The factors by the kernel, under several orders of threads.
[[nodiscard]] Tensor<float, Cpu> scale_by_kernel(const AscentOperands& base, const AscentOperands& late,
                                                 const Ascent& ascent) {
  const auto base_rows = rows_of(base), late_rows = rows_of(late);
  const std::int64_t chunks = kernels::ascent_chunks(base_rows) + kernels::ascent_chunks(late_rows);
  auto scale = unwritten<float>({1 + late_rows.rows});
  auto partial = unwritten<double>({chunks});
  auto arrivals = zeros<std::int32_t, Cpu>({1});
  const kernels::AscentScale p{base_rows,         late_rows,       float(ascent.rho),
                               float(ascent.eta), ascent.adaptive, false,
                               scale.data(),      partial.data(),  reinterpret_cast<unsigned*>(arrivals.data())};
  auto plan = small_plan(chunks * LaunchPlan::block);
  plan.shared_bytes = kernels::shared_bytes<double>(LaunchPlan::block / 32) + kernels::shared_bytes<unsigned>(1);
  with_widths<float>(late_rows.length % 4 == 0, [&](auto width) {
    CHECK(same_on_any_order<4>(
        plan, [&] { kernels::ascent_scale<width()>(p); }, scale, partial));
    CHECK(arrivals.data()[0] == 0);
  });
  return scale;
}

}  // namespace

TEST_CASE("the kernel ascent_scale has the CPU's factors, over both stores or one of them", "[optimizer]") {
  for (const auto& [members, length] : {std::pair{1, 5}, std::pair{3, 4099}, std::pair{3, 4100}, std::pair{10, 64}})
    for (const bool adaptive : {false, true})
      for (const int stores : {1, 2, 3}) {
        INFO("members " << members << " length " << length << " adaptive " << adaptive << " stores " << stores);
        const Ascent ascent{.rho = 0.5, .adaptive = adaptive, .eta = 0.2};
        const auto base = stores & 1 ? random_store({1, 9001}, 1) : AscentOperands{};
        const auto late = stores & 2 ? random_store({members, length}, 3) : AscentOperands{};
        const auto found = scale_by_kernel(base, late, ascent), expected = ascent_scale(base, late, ascent);
        for (std::int64_t i = 0; i < found.size(); ++i)  // sums in double; rho, eta and norms are rounded to float
          if (i > 0 || stores & 1)
            CHECK(difference(found.data()[i], expected.data()[i]) <= 4 * epsilon<float>() * expected.data()[i]);
      }
}

TEST_CASE("the kernel ascent_scale gives a row of zeros the factor 0, and keeps NaN", "[optimizer]") {
  const auto base = random_store({1, 12}, 1);
  auto late = random_store({3, 8}, 3);
  std::fill_n(late.gradient.row(1), 8, 0.f);
  CHECK(scale_by_kernel(base, late, {}).data()[2] == 0);
  fill(late.gradient, 0.f);
  CHECK(same_values(scale_by_kernel(AscentOperands{}, late, {}), zeros<float, Cpu>({4})));
  late.gradient.data()[3] = std::nanf("");
  CHECK(std::isnan(scale_by_kernel(base, late, {}).data()[1]));
}

TEST_CASE("the kernel ascent_scale gives a slope whose factor is beyond a float the factor 0", "[optimizer]") {
  auto base = random_store({1, 12}, 1), late = random_store({3, 8}, 3);
  fill(base.gradient, 0.f);
  base.gradient.data()[2] = 1e-30f;
  CHECK(same_values(scale_by_kernel(base, AscentOperands{}, {.rho = 1e10}), zeros<float, Cpu>({1})));
  std::fill_n(late.gradient.row(1), 8, 0.f);
  late.gradient.row(1)[0] = 1e-30f;
  const auto found = scale_by_kernel(base, late, {.rho = 1e10});
  CHECK(found.data()[1] > 0);
  CHECK(found.data()[2] == 0);
}

TEST_CASE("the kernel ascend_weights moves the weights as the CPU does, keeps them and clears the gradient",
          "[optimizer]") {
  for (const Shape& shape : {Shape{1, 5}, Shape{1, 4099}, Shape{3, 17}, Shape{10, 64}})
    for (const bool adaptive : {false, true}) {
      const std::int64_t rows = shape[0], length = shape[1];
      with_widths<float>(rows == 1 || length % 4 == 0, [&](auto width) {
        INFO("rows " << rows << " length " << length << " adaptive " << adaptive << " width " << width);
        const Ascent ascent{.rho = 0.5, .adaptive = adaptive, .eta = 0.2};
        auto store = random_store({rows, length}, 1);
        const AscentOperands expected{clone(store.weight), clone(store.gradient), clone(store.kept)};
        const auto before = clone(store.weight), scale = random_tensor<float>({rows}, 9);
        ascend_weights(expected, scale, ascent);
        const kernels::Ascend p{store.weight.data(),
                                store.gradient.data(),
                                store.kept.data(),
                                scale.data(),
                                rows,
                                length,
                                float(ascent.eta),
                                adaptive};
        CHECK(same_on_any_order<4>(
            small_plan(length / width, rows), [&] { kernels::ascend_weights<width()>(p); }, store.weight,
            store.gradient, store.kept));
        CHECK(distance(store.weight, expected.weight) <= 8 * epsilon<float>());  // five roundings of values below 3
        CHECK(same_bits(store.kept, before));
        CHECK(same_bits(store.gradient, zeros<float, Cpu>({rows, length})));
      });
    }
}
