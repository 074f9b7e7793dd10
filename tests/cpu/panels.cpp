// Matrix products by panels against the definition in double.
#include <lpw/cpu/panels/product.hpp>

#include <cmath>
#include <limits>

#include <lpw/cpu/gemm.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/random_matrix.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// c [rows, columns] (+)= a b over `depth`; `gap` elements lie between the rows of all three, or their columns.
struct PanelCase {
  std::int64_t rows, columns, depth;
  bool a_rows = true, b_rows = true;  // whether rows are contiguous
  bool accumulate = false;
  std::int64_t gap = 0;
};

std::ostream& operator<<(std::ostream& stream, const PanelCase& c) {
  return stream << c.rows << " x " << c.columns << " over " << c.depth << (c.a_rows ? "" : ", a in columns")
                << (c.b_rows ? "" : ", b in columns") << (c.accumulate ? ", added" : "") << ", gap " << c.gap;
}

template <class A, class B>
struct PanelProduct {
  PanelCase shape;
  RandomMatrix<A> a;
  RandomMatrix<B> b;
  Tensor<float, Cpu> start;

  explicit PanelProduct(const PanelCase& c)
      : shape(c),
        a(c.rows, c.depth, c.a_rows, c.gap, 1),
        b(c.depth, c.columns, c.b_rows, c.gap, 2),
        start(random_tensor<float>({c.rows, c.columns + c.gap}, 3)) {}

  /// c with its gaps, by multiply(view of c).
  template <class Multiply>
  [[nodiscard]] Tensor<float, Cpu> by(Multiply&& multiply) const {
    auto c = clone(start);
    multiply(MatrixView<float>{c.data(), shape.rows, shape.columns, c.dim(1), 1});
    return c;
  }
  [[nodiscard]] Tensor<float, Cpu> once() const {
    return by([&](auto c) { panels::multiply(a.view, b.view, c, shape.accumulate); });
  }
  /// With b packed beforehand, where it may be: as float.
  [[nodiscard]] Tensor<float, Cpu> packed() const {
    if constexpr (!std::is_same_v<B, float>)
      return once();
    else
      return by([&](auto c) { panels::PackedRight(b.view, shape.rows).multiply(a.view, c, shape.accumulate); });
  }
  /// The sums in double; gaps as they were.
  [[nodiscard]] Expected expected() const {
    Expected sums(start, true);
    sums.terms = static_cast<double>(shape.depth + 1);
    for (std::int64_t i = 0; i < shape.rows; ++i)
      for (std::int64_t j = 0; j < shape.columns; ++j) {
        const std::int64_t at = i * start.dim(1) + j;
        if (!shape.accumulate) sums.sum[to_size(at)] = sums.magnitude[to_size(at)] = 0;
        for (std::int64_t k = 0; k < shape.depth; ++k) sums.add(at, a.at(i, k) * b.at(k, j));
      }
    return sums;
  }
};

template <class A, class B>
void check_panels(const PanelCase& c) {
  INFO(c);
  const PanelProduct<A, B> product(c);
  const auto expected = product.expected();
  CHECK(mismatch<float>(product.once(), expected) == "");
  CHECK(mismatch<float>(product.packed(), expected) == "");
}

/// Both orientations of both operands, overwriting and adding.
template <class Check>
void for_each_orientation(PanelCase c, Check&& check) {
  for (const bool a_rows : {true, false})
    for (const bool b_rows : {true, false})
      for (const bool accumulate : {false, true}) {
        c.a_rows = a_rows, c.b_rows = b_rows, c.accumulate = accumulate;
        check(c);
      }
}

}  // namespace

TEST_CASE("Panels: products of any size and orientation") {
  for (const std::int64_t rows : {1, 5, 13, 50})
    for (const std::int64_t columns : {1, 16, 33, 71})
      for (const std::int64_t depth : {1, 16, 37})
        for_each_orientation({.rows = rows, .columns = columns, .depth = depth, .gap = rows % 3},
                             [](const PanelCase& c) { check_panels<float, float>(c); });
}

TEST_CASE("Panels: several blocks of depth, rows and columns") {
  for (const PanelCase& c : {PanelCase{.rows = 9, .columns = 40, .depth = 1100},
                             {.rows = 110, .columns = 300, .depth = 520},
                             {.rows = 230, .columns = 50, .depth = 64}})
    for_each_orientation(c, [](const PanelCase& each) { check_panels<float, float>(each); });
}

TEST_CASE("Panels: a long depth and few elements, whose sum is cut into parts") {
  check_panels<float, float>({.rows = 30, .columns = 30, .depth = 10000, .a_rows = false});
}

TEST_CASE("Panels: bfloat16 is widened") {
  for_each_orientation({.rows = 27, .columns = 50, .depth = 70, .gap = 1}, [](const PanelCase& c) {
    check_panels<bfloat16, float>(c);
    check_panels<float, bfloat16>(c);
    check_panels<bfloat16, bfloat16>(c);
  });
}

TEST_CASE("Panels: the same bits on any number of threads") {
  for (const PanelCase& c : {PanelCase{.rows = 100, .columns = 330, .depth = 520, .b_rows = false},
                             {.rows = 400, .columns = 40, .depth = 100, .a_rows = false},
                             {.rows = 30, .columns = 30, .depth = 10000, .a_rows = false}}) {
    INFO(c);
    const PanelProduct<float, float> product(c);
    CHECK(same_on_any_threads([&] { return values_of(product.once()); }));
    if (c.columns > panels::panel) CHECK(same_on_any_threads([&] { return values_of(product.packed()); }));
  }
}

TEST_CASE("Panels: NaN and infinity reach the elements that they are terms of, and no others") {
  PanelProduct<float, float> product({.rows = 14, .columns = 37, .depth = 20});
  const float infinity = std::numeric_limits<float>::infinity();
  product.a.memory.data()[3 * 20 + 7] = std::numeric_limits<float>::quiet_NaN();
  product.b.memory.data()[5 * 37 + 36] = infinity;
  product.b.memory.data()[6 * 37 + 2] = infinity;
  const auto c = product.once(), again = product.packed();
  for (std::int64_t i = 0; i < 14; ++i)
    for (std::int64_t j = 0; j < 37; ++j) {
      const float value = c.data()[i * 37 + j];
      INFO("row " << i << ", column " << j);
      CHECK(std::isnan(value) == (i == 3));
      CHECK(std::isinf(value) == (i != 3 && (j == 36 || j == 2)));
      CHECK(std::isfinite(again.data()[i * 37 + j]) == std::isfinite(value));
    }
}

TEST_CASE("Panels: an empty depth leaves zeros, or what is added to") {
  for (const bool accumulate : {false, true}) {
    const PanelProduct<float, float> product({.rows = 3, .columns = 20, .depth = 0, .accumulate = accumulate});
    for (const auto& c : {product.once(), product.packed()})
      for (std::int64_t i = 0; i < c.size(); ++i)
        CHECK(c.data()[i] == (accumulate ? std::as_const(product.start).data()[i] : 0.f));
  }
}
