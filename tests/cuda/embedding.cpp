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
                   bfloat16) {
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

TEMPLATE_TEST_CASE("embedding with rank-1 factors on the GPU has the CPU's values and gradients", "[gpu]", float,
                   bfloat16, lpw::half) {
  struct Result {
    Tensor<TestType, Cpu> y;
    Tensor<float, Cpu> dweight, dr, ds;
  };
  const auto indices = random_indices({3, 4, 5}, 70);
  const auto dy = random_tensor<TestType>({3, 4, 5, 33}, 9);
  const auto run = [&]<class D>(const auto& place, const Tensor<float, D>& weight, const Tensor<float, D>& r,
                                const Tensor<float, D>& s) {
    const auto dweight = full<float, D>(weight.shape(), 0.5F), dr = full<float, D>(r.shape(), 0.5F),
               ds = full<float, D>(s.shape(), 0.5F);
    Tape tape;
    const MemberWeight<float, D> table{tape.leaf(weight, dweight),
                                       RankOneFactors<float, D>{tape.leaf(r, dr), tape.leaf(s, ds)}};
    const auto y = embedding<TestType>(tape.input(place(indices)), table);
    tape.backward(y, place(dy));
    return Result{to_host(y.value()), to_host(dweight), to_host(dr), to_host(ds)};
  };
  for (const ParameterKind& weight_kind : parameter_kinds)
    for (const ParameterKind& factor_kind : parameter_kinds) {
      INFO("weight " << weight_kind << " factors " << factor_kind);
      const auto weight = random_parameter<float>({weight_kind.shared ? 1 : 3, 70, 33}, weight_kind.strided, 1);
      const auto r = factor_kind.make(3, 70, 3), s = factor_kind.make(3, 33, 4);
      const auto expected = run([](const auto& host) { return host; }, weight, r, s);
      const auto found =
          run([](const auto& host) { return on_device(host); }, on_device(weight), on_device(r), on_device(s));
      CHECK(distance(found.y, expected.y) <= 2 * epsilon<TestType>());  // products below 1, rounded once
      // Sums of at most 3 members' 33 features and 60 places in another order: see rank_one_backward's test.
      const double tolerance = 20 * epsilon<float>() * std::sqrt(3.0 * 60);
      CHECK(distance(found.dweight, expected.dweight) <= tolerance);
      CHECK(distance(found.dr, expected.dr) <= tolerance);
      CHECK(distance(found.ds, expected.ds) <= tolerance);
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
    backward_of_sum(tape, y);
    return std::pair{value, gradient};
  };
  const auto expected = run(indices, weight);
  const auto found = run(on_device(indices), on_device(weight));
  CHECK(equal(found.first, expected.first));
  CHECK(equal(found.second, expected.second));  // counts of places
}
