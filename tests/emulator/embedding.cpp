#include "emulator/kernel_check.hpp"

#include <lpw/kernels/embedding.cuh>

#include <algorithm>
#include <numeric>

#include <lpw/cpu/embedding.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

/// Indices, most of them a few rows, as in text.
[[nodiscard]] Tensor<std::int32_t, Cpu> skewed_indices(const Shape& shape, std::uint32_t rows) {
  Tensor<std::int32_t, Cpu> indices(shape);
  const Philox random(5, Stream::test, rows);
  for (std::int64_t i = 0; i < indices.size(); ++i) {
    const auto draw = random(static_cast<std::uint64_t>(i));
    indices.data()[i] = static_cast<std::int32_t>(draw[0] % 3 == 0 ? draw[1] % rows : draw[1] % std::min(rows, 3u));
  }
  return indices;
}

[[nodiscard]] LaunchPlan shared_plan(std::int64_t blocks, std::size_t bytes, std::int64_t rows = 1) {
  LaunchPlan plan{static_cast<unsigned>(blocks), static_cast<unsigned>(rows)};
  plan.shared_bytes = bytes;
  return plan;
}

/// The places sorted by the kernels, with fewer blocks than chunks.
[[nodiscard]] Tensor<std::int32_t, Cpu> sorted_places(const kernels::TableIndices& table) {
  const int chunks = kernels::sort_chunks(table.size());
  const std::size_t bytes = kernels::shared_bytes<int>(kernels::sort_chunk);
  auto counts = unwritten<std::int32_t>({chunks, kernels::sort_chunk});
  auto from = unwritten<std::int32_t>({table.size()}), to = unwritten<std::int32_t>({table.size()});
  for (int pass = 0; pass < table.passes(); ++pass) {
    const kernels::SortPass p{table, pass == 0 ? nullptr : from.data(), to.data(), counts.data(), pass};
    CHECK(same_on_any_order(
        shared_plan(2, bytes), [&] { kernels::count_digits(p); }, counts));
    CHECK(same_on_any_order(
        shared_plan(1, bytes), [&] { kernels::scan_digits(p); }, counts));
    CHECK(same_on_any_order(
        shared_plan(2, bytes), [&] { kernels::scatter_places(p); }, to));
    std::swap(from, to);
  }
  return from;
}

}  // namespace

TEST_CASE("the kernels sort places by index, stably", "[embedding]") {
  for (const auto& [tables, places, rows] :
       {std::array{1, 1, 1}, std::array{1, 700, 256}, std::array{3, 100, 7}, std::array{3, 333, 200},
        std::array{1, 600, 65536}, std::array{2, 256, 100000}}) {
    INFO("tables " << tables << " places " << places << " rows " << rows);
    auto indices = skewed_indices({tables, places}, static_cast<std::uint32_t>(rows));
    if (places > 100) indices.data()[17] = -1, indices.data()[40] = rows;  // no rows: they go to the end
    const kernels::TableIndices table{indices.data(), tables, places, rows};
    std::vector<int> expected(std::size_t(table.size()));
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(), [&](int a, int b) { return table.key(a) < table.key(b); });
    const auto sorted = sorted_places(table);
    CHECK(std::equal(expected.begin(), expected.end(), sorted.data()));
    if (places > 100) CHECK(sorted.data()[table.size() - 1] == 40);
  }
  CHECK(kernels::TableIndices{nullptr, 1, 1, 255}.passes() == 1);
  CHECK(kernels::TableIndices{nullptr, 1, 1, 256}.passes() == 2);  // 256 is the key of what is no row
  CHECK(kernels::TableIndices{nullptr, 1, 1, 65535}.passes() == 2);
  CHECK(kernels::TableIndices{nullptr, 2, 1, 65536}.passes() == 3);
}

TEMPLATE_TEST_CASE("the kernels embedding and embedding_backward give the CPU's rows and sums", "[embedding]", float,
                   bfloat16, half) {
  struct Size {
    int members, places, rows, features;
  };
  for (const Size& size :
       {Size{1, 1, 1, 1}, Size{3, 20, 5, 3}, Size{2, 300, 17, 72}, Size{1, 900, 256, 16}, Size{3, 64, 300, 272}})
    for (const bool shared : {true, false})
      with_widths<TestType>(size.features % widest<TestType> == 0, [&](auto width) {
        const auto [members, places, rows, features] = size;
        INFO("members " << members << " places " << places << " rows " << rows << " features " << features << " shared "
                        << shared << " width " << width);
        const int tables = shared ? 1 : members;
        const auto indices = skewed_indices({members, places}, static_cast<std::uint32_t>(rows));
        const auto weight = random_parameter<float>({tables, rows, features}, true, 1);
        auto y = unwritten<TestType>({members, places, features});
        auto bad = zeros<std::int32_t, Cpu>({1});
        const kernels::TableIndices table{indices.data(), tables, members * places / tables, rows};
        const kernels::Embedding<TestType> p{table, weight.data(), weight.row_stride(), y.data(), features, bad.data()};
        CHECK(same_on_any_order(
            small_plan(y.size() / width), [&] { kernels::embedding<TestType, width()>(p); }, y, bad));
        CHECK(bad.data()[0] == 0);
        CHECK(same_values(converted<double>(y),
                          converted<double>(converted<TestType>(embedding_forward<float>(indices, weight))),
                          Nan::equals_nan));

        const auto dy = random_tensor<TestType>(y.shape(), 2);
        auto dweight = random_parameter<float>(weight.shape(), true, 3);
        Gradient<double, Cpu> expected{converted<double>(dweight), true};
        embedding_backward(indices, converted<double>(dy), expected);
        const auto sorted = sorted_places(table);
        const kernels::EmbeddingBackward<TestType> q{table,          sorted.data(),        dy.data(),
                                                     dweight.data(), dweight.row_stride(), features};
        const std::size_t bytes = kernels::shared_bytes<float>(LaunchPlan::block * width) +
                                  kernels::shared_bytes<int>(LaunchPlan::block / 32);
        CHECK(same_on_any_order(
            shared_plan(3, bytes, 2), [&] { kernels::embedding_backward<TestType, width()>(q); }, dweight));
        // Up to some six hundred terms below 1, whose roundings add up as the square root of their number, with a wide
        // margin.
        CHECK(distance(dweight, expected.tensor) <= 20 * epsilon<float>() * std::sqrt(600.0));
        CHECK(gaps_untouched(dweight));
      });
}

TEST_CASE("the kernels embedding report an index that is no row, and leave it out", "[embedding]") {
  const std::vector<std::int32_t> values{1, 4, 0, -1, 2, 1};
  const auto indices = tensor_of<std::int32_t>({2, 3}, values);
  const auto weight = random_tensor<float>({1, 4, 5}, 1), dy = random_tensor<float>({2, 3, 5}, 2);
  const kernels::TableIndices table{indices.data(), 1, 6, 4};
  auto y = unwritten<float>({2, 3, 5});
  auto bad = zeros<std::int32_t, Cpu>({1});
  const kernels::Embedding<float> p{table, weight.data(), 20, y.data(), 5, bad.data()};
  CHECK(same_on_any_order(
      small_plan(30), [&] { kernels::embedding<float, 1>(p); }, y, bad));
  CHECK(bad.data()[0] == 4);
  for (std::int64_t i = 0; i < 30; ++i) {
    const std::int32_t index = values[std::size_t(i / 5)];
    if (index < 0 || index > 3) {
      CHECK(std::isnan(y.data()[i]));
    } else {
      CHECK(y.data()[i] == weight.data()[index * 5 + i % 5]);
    }
  }
  auto dweight = zeros<float, Cpu>({1, 4, 5});
  const auto sorted = sorted_places(table);
  const kernels::EmbeddingBackward<float> q{table, sorted.data(), dy.data(), dweight.data(), 20, 5};
  CHECK(same_on_any_order(
      shared_plan(1,
                  kernels::shared_bytes<float>(LaunchPlan::block) + kernels::shared_bytes<int>(LaunchPlan::block / 32)),
      [&] { kernels::embedding_backward<float, 1>(q); }, dweight));
  CHECK(dweight.data()[5] == dy.data()[0] + dy.data()[25]);
  CHECK(dweight.data()[15] == 0);
}
