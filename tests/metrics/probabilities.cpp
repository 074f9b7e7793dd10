// Softmax by rows.
#include <lpw/metrics/probabilities.hpp>

#include <limits>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::softmax_rows;

TEST_CASE("softmax_rows: by hand, whatever is added to a row", "[metrics]") {
  for (const double offset : {0., 1000., -1000.}) {
    const auto p = softmax_rows(tensor<double>({2, 2}, {offset, offset + std::log(3.), offset, offset}));
    // The logits near 1000 are rounded to 1.2e-13, and so are the probabilities.
    CHECK(std::abs(p.row(0)[0] - 0.25) < 1e-12);
    CHECK(std::abs(p.row(0)[1] - 0.75) < 1e-12);
    CHECK(p.row(1)[0] == 0.5);
  }
}

TEST_CASE("softmax_rows: strided float and bfloat16 rows, and a class that is ruled out", "[metrics]") {
  auto store = lpw::full<float, lpw::Cpu>({2, 5}, std::numeric_limits<float>::quiet_NaN());
  auto logits = store.columns(1, {2});
  lpw::fill(logits, 4.f);
  logits.row(1)[0] = -std::numeric_limits<float>::infinity();
  const auto p = softmax_rows(logits);
  CHECK(p.row(0)[0] == 0.5);
  CHECK(p.row(1)[0] == 0);
  CHECK(p.row(1)[1] == 1);
  CHECK(softmax_rows(lpw::full<lpw::bfloat16, lpw::Cpu>({1, 4}, 2.f)).row(0)[3] == 0.25);
}

TEST_CASE("softmax_rows: refuses other shapes and rows without a softmax", "[metrics]") {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(softmax_rows(lpw::zeros<float, lpw::Cpu>({3})), lpw::ShapeError);
  CHECK_THROWS_AS(softmax_rows(lpw::zeros<float, lpw::Cpu>({3, 0})), lpw::ShapeError);
  for (const auto& row :
       {std::vector{nan, 0.}, std::vector{0., nan}, std::vector{0., infinity}, std::vector{-infinity, -infinity}})
    CHECK_THROWS_AS(softmax_rows(tensor<double>({1, 2}, row)), lpw::NonFinite);
  CHECK(softmax_rows(lpw::zeros<float, lpw::Cpu>({0, 3})).size() == 0);
}
