#include <lpw/cpu/rank_one.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// P, a weight and factors, and gradients to add to, with some number of rows each.
template <class W>
struct RankOneCase {
  std::int64_t members, outputs, inputs, weight_rows, factor_rows;
  Tensor<W, Cpu> product = random_tensor<W>({members, outputs, inputs}, 1);
  Tensor<W, Cpu> weight = random_parameter<W>({weight_rows, outputs, inputs}, true, 2);
  Tensor<W, Cpu> output = random_parameter<W>({factor_rows, outputs}, true, 3),
                 input = random_parameter<W>({factor_rows, inputs}, true, 4);

  Gradient<W, Cpu> gradient(const Tensor<W, Cpu>& like, bool accumulate, std::uint32_t key) const {
    return {random_parameter<W>(like.shape(), true, key), accumulate};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("rank_one_backward: gradients of the weight and both factors", "[rank_one]", float, double) {
  using W = TestType;
  for (const auto& [members, weight_rows, factor_rows] :
       {std::array{1, 1, 1}, std::array{3, 1, 3}, std::array{3, 3, 3}, std::array{3, 1, 1}})
    for (const auto& [outputs, inputs] : {std::pair{1, 1}, std::pair{5, 3}, std::pair{70, 33}})
      for (const bool accumulate : {false, true}) {
        INFO("members " << members << " weight rows " << weight_rows << " factor rows " << factor_rows << " outputs "
                        << outputs << " inputs " << inputs << " accumulate " << accumulate);
        const RankOneCase<W> c{members, outputs, inputs, weight_rows, factor_rows};
        auto dweight = c.gradient(c.weight, accumulate, 5), dr = c.gradient(c.output, accumulate, 6),
             ds = c.gradient(c.input, accumulate, 7);
        Expected weight(dweight.tensor, accumulate), r(dr.tensor, accumulate), s(ds.tensor, accumulate);
        weight.terms = members + 4;  // and the roundings of a product of three
        r.terms = members * inputs + 4;
        s.terms = members * outputs + 4;
        for (std::int64_t k = 0; k < members; ++k)
          for (std::int64_t o = 0; o < outputs; ++o)
            for (std::int64_t i = 0; i < inputs; ++i) {
              const double p = c.product.row(k)[o * inputs + i], w = member_row(c.weight, k)[o * inputs + i];
              const double rk = member_row(c.output, k)[o], sk = member_row(c.input, k)[i];
              const std::int64_t factor_row = factor_rows == 1 ? 0 : k;
              weight.add(((weight_rows == 1 ? 0 : k) * outputs + o) * inputs + i, p * rk * sk);
              r.add(factor_row * outputs + o, p * w * sk);
              s.add(factor_row * inputs + i, p * w * rk);
            }
        rank_one_backward(c.product, c.weight, c.output, c.input, dweight, dr, ds);
        CHECK(mismatch<W>(dweight.tensor, weight) == "");
        CHECK(mismatch<W>(dr.tensor, r) == "");
        CHECK(mismatch<W>(ds.tensor, s) == "");
        CHECK((gaps_untouched(dweight.tensor) && gaps_untouched(dr.tensor) && gaps_untouched(ds.tensor)));
      }
}

TEST_CASE("rank_one_backward: what is not wanted changes nothing of the rest, nor does the number of threads",
          "[rank_one]") {
  const RankOneCase<float> c{3, 70, 33, 1, 3};
  const auto run = [&](int unwanted) {
    Gradient<float, Cpu> all[] = {{full<float, Cpu>(c.weight.shape(), 0)},
                                  {full<float, Cpu>(c.output.shape(), 0)},
                                  {full<float, Cpu>(c.input.shape(), 0)}};
    if (unwanted >= 0) all[unwanted].tensor = {};
    rank_one_backward(c.product, c.weight, c.output, c.input, all[0], all[1], all[2]);
    std::vector<std::vector<double>> values;
    for (const auto& gradient : all)
      values.push_back(gradient.tensor.empty() ? std::vector<double>() : values_of(gradient.tensor));
    return values;
  };
  const auto wanted = run(-1);
  for (int unwanted = 0; unwanted < 3; ++unwanted) {
    auto expected = wanted;
    expected[std::size_t(unwanted)].clear();
    CHECK(run(unwanted) == expected);
  }
  CHECK(same_on_any_threads([&] { return run(-1); }));
}
