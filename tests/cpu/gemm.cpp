// Matrix products of one thread, whatever they are made of, against the definition in double.
#include <lpw/cpu/gemm.hpp>

#include <cmath>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/random_matrix.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The largest error of c (+)= a b in units of what sums of its length may lose; 1e9 where a gap was written to.
template <class F>
double gemm_error(const RandomMatrix<F>& a, const RandomMatrix<F>& b, bool accumulate, std::int64_t gap) {
  const std::int64_t rows = a.view.rows, columns = b.view.columns, depth = a.view.columns;
  const auto before = random_tensor<F>({rows, columns + gap}, 3);
  auto c = clone(before);
  lpw::detail::gemm_on_thread<F>(a.view, b.view, MatrixView<F>{c.data(), rows, columns, columns + gap, 1}, accumulate);
  double worst = 0;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns + gap; ++j) {
      const double had = static_cast<double>(before.row(i)[j]);
      double sum = accumulate ? had : 0, size = std::abs(sum);
      for (std::int64_t k = 0; k < depth && j < columns; ++k) {
        sum += a.at(i, k) * b.at(k, j);
        size += std::abs(a.at(i, k) * b.at(k, j));
      }
      const double off = std::abs(static_cast<double>(c.row(i)[j]) - (j < columns ? sum : had));
      // n additions of n products in F: |error| <= n epsilon sum |products|.
      const double unit = static_cast<double>(depth + 1) * epsilon<F>() * size;
      const double ratio = j < columns ? (off == 0 ? 0 : off / unit) : (off == 0 ? 0 : 1e9);
      if (!(ratio <= worst)) worst = ratio;
    }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("products of one thread equal their definition, thin, short and in blocks", "", float, double) {
  using F = TestType;
  struct Sides {
    std::int64_t rows, columns, depth;
  };
  // One row, one column, hardly any elements, none; tails of vectors; several blocks of the depth, rows and columns.
  for (const auto& s : {Sides{1, 7, 90}, Sides{90, 1, 7}, Sides{5, 5, 5}, Sides{7, 33, 0}, Sides{0, 40, 40},
                        Sides{17, 48, 100}, Sides{33, 65, 129}, Sides{9, 20, 700}, Sides{700, 900, 3}})
    for (const bool a_rows : {true, false})
      for (const bool b_rows : {true, false})
        for (const std::int64_t gap : {0, 3}) {
          INFO(s.rows << " x " << s.columns << " over " << s.depth << ", rows of a " << a_rows << ", of b " << b_rows
                      << ", gap " << gap);
          const RandomMatrix<F> a(s.rows, s.depth, a_rows, gap, 1), b(s.depth, s.columns, b_rows, gap, 2);
          CHECK(gemm_error(a, b, gap > 0, gap) <= 1);
        }
}
