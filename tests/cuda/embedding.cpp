#include "cuda/operands.hpp"

#include <lpw/autograd/embedding.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Members, places of each, rows of a table, features. Runs of one index longer than a block, more places than a launch
/// has threads, tables that take one, two and three passes of sorting.
struct TableSize {
  std::int64_t members, places, rows, features;
};
constexpr TableSize table_sizes[] = {{1, 1, 1, 1},    {3, 20, 5, 3},     {2, 300, 17, 72},
                                     {3, 700, 2, 16}, {1, 1500, 256, 8}, {3, 64, 30000, 1}};

std::ostream& operator<<(std::ostream& out, const TableSize& size) {
  return out << "members " << size.members << " places " << size.places << " rows " << size.rows << " features "
             << size.features;
}

/// All sizes, and all forms of a table.
template <class Body>
void for_each_table(const Body& body) {
  for (const TableSize& size : table_sizes)
    for (const ParameterKind& kind : parameter_kinds) {
      INFO(size << ' ' << kind);
      body(size, random_parameter<float>({kind.shared ? 1 : size.members, size.rows, size.features}, kind.strided, 1));
    }
}

}  // namespace

TEMPLATE_TEST_CASE("embedding_forward on the GPU gives the rows of the table, rounded", "[gpu]", float, bfloat16,
                   lpw::half) {
  for_each_table([](const TableSize& size, const Tensor<float, Cpu>& weight) {
    const auto indices = random_indices({size.members, size.places, 1}, size.rows);
    const auto found = embedding_forward<TestType>(on_device(indices), on_device(weight));
    CHECK(found.shape() == Shape{size.members, size.places, 1, size.features});
    CHECK(equal(found, converted<TestType>(embedding_forward<float>(indices, weight))));
  });
}

TEMPLATE_TEST_CASE("embedding_backward on the GPU gives the CPU's sums, and the same bits every time", "[gpu]", float,
                   bfloat16, lpw::half) {
  for_each_table([](const TableSize& size, const Tensor<float, Cpu>& weight) {
    const auto indices = random_indices({size.members, size.places, 1}, size.rows);
    const auto dy = random_tensor<TestType>({size.members, size.places, 1, size.features}, 2);
    for (const bool accumulate : {false, true}) {
      Gradient<double, Cpu> expected{converted<double>(weight), accumulate};
      embedding_backward(indices, converted<double>(dy), expected);
      Gradient<float, Cuda> first{on_device(weight), accumulate}, second{on_device(weight), accumulate};
      embedding_backward(on_device(indices), on_device(dy), first);
      embedding_backward(on_device(indices), on_device(dy), second);
      // At most the places of all members, terms below 1, whose roundings add up as the square root of their number,
      // with a wide margin.
      CHECK(distance(first.tensor, expected.tensor) <=
            20 * epsilon<float>() * std::sqrt(double(size.members * size.places)));
      CHECK(equal(second.tensor, to_host(first.tensor)));
      CHECK(gaps_untouched(first.tensor));
    }
  });
}

TEST_CASE("an index that is no row of the table is NaN on the GPU, and no gradient takes it in", "[gpu]") {
  auto indices = random_indices({2, 6}, 4);
  indices.row(0)[2] = -1;
  indices.row(1)[5] = 4;
  for (const std::int64_t tables : {1, 2}) {
    const auto weight = random_tensor<float>({tables, 4, 5}, 1), dy = random_tensor<float>({2, 6, 5}, 2);
    const auto y = to_host(embedding_forward<float>(on_device(indices), on_device(weight)));
    auto dweight = zeros<float, Cuda>(weight.shape());
    Gradient<float, Cuda> gradient{dweight};
    embedding_backward(on_device(indices), on_device(dy), gradient);
    auto kept = clone(dy);  // with zeros for what is left out
    for (std::int64_t i = 0; i < y.size(); ++i) {
      const bool known = i / 5 != 2 && i / 5 != 11;
      CHECK(std::isnan(y.data()[i]) == !known);
      if (!known) kept.data()[i] = 0;
    }
    auto rows = clone(indices);
    rows.row(0)[2] = rows.row(1)[5] = 0;
    Gradient<float, Cpu> expected{Tensor<float, Cpu>(weight.shape())};
    embedding_backward(rows, kept, expected);
    CHECK(distance(gradient.tensor, expected.tensor) <= 12 * epsilon<float>());  // sums of up to twelve terms below 1
  }
}

TEST_CASE("embedding recorded on the GPU has the CPU's values and gradients", "[gpu]") {
  const auto indices = random_indices({3, 4, 5}, 7);
  const auto weight = random_parameter<float>({3, 7, 9}, true, 1);
  const auto run = [&]<class D>(const Tensor<std::int32_t, D>& places, const Tensor<float, D>& table) {
    auto gradient = zeros<float, D>(table.shape());
    Tape tape;
    const auto y = embedding<float>(tape.input(places), tape.leaf(table, gradient));
    const auto value = y.value();
    tape.backward(y);
    return std::pair{value, gradient};
  };
  const auto expected = run(indices, weight);
  const auto found = run(on_device(indices), on_device(weight));
  CHECK(equal(found.first, expected.first));
  CHECK(equal(found.second, expected.second));  // counts of places
}
