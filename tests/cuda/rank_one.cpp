#include "cuda/operands.hpp"

#include <lpw/cpu/rank_one.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// P, a weight and factors.
struct RankOneOperands {
  std::int64_t members, outputs, inputs;
  ParameterKind weight_kind, factor_kind;
  Tensor<float, Cpu> product = random_tensor<float>({members, outputs, inputs}, 1);
  Tensor<float, Cpu> weight =
      random_parameter<float>({weight_kind.shared ? 1 : members, outputs, inputs}, weight_kind.strided, 2);
  Tensor<float, Cpu> output = factor_kind.make(members, outputs, 3), input = factor_kind.make(members, inputs, 4);
};

/// Gradients of the weight, r and s, to add to or to overwrite, in the form of their parameters; that of number
/// `unwanted` is not there.
using RankOneGradients = std::array<Gradient<float, Cpu>, 3>;
[[nodiscard]] RankOneGradients rank_one_gradients(const RankOneOperands& o, bool accumulate, int unwanted) {
  const auto like = [&](const Tensor<float, Cpu>& parameter, std::uint32_t key) -> Gradient<float, Cpu> {
    return {random_parameter<float>(parameter.shape(), !parameter.contiguous(), key), accumulate};
  };
  RankOneGradients result{like(o.weight, 5), like(o.output, 6), like(o.input, 7)};
  if (unwanted >= 0) result[static_cast<std::size_t>(unwanted)].tensor = {};
  return result;
}

void check_rank_one(const RankOneOperands& o, bool accumulate, int unwanted) {
  INFO("members " << o.members << " outputs " << o.outputs << " inputs " << o.inputs << " weight " << o.weight_kind
                  << " factors " << o.factor_kind << " accumulate " << accumulate << " unwanted " << unwanted);
  auto [dweight, dr, ds] = rank_one_gradients(o, accumulate, unwanted);
  auto found_dweight = on_device(dweight), found_dr = on_device(dr), found_ds = on_device(ds);
  rank_one_backward(o.product, o.weight, o.output, o.input, dweight, dr, ds);
  rank_one_backward(on_device(o.product), on_device(o.weight), on_device(o.output), on_device(o.input), found_dweight,
                    found_dr, found_ds);
  // Sums of products of numbers below 1 in another order: their roundings add up as the root of their number, with a
  // wide margin.
  const double tolerance = 20 * epsilon<float>() * std::sqrt(double(o.members * std::max(o.outputs, o.inputs)));
  for (const auto& [found, expected] :
       {std::pair(&found_dweight, &dweight), std::pair(&found_dr, &dr), std::pair(&found_ds, &ds)}) {
    if (expected->tensor.empty()) continue;
    CHECK(distance(found->tensor, expected->tensor) <= tolerance);
    CHECK(gaps_untouched(found->tensor));
  }
}

}  // namespace

TEST_CASE("rank_one_backward on the GPU gives the CPU's gradients", "[gpu]") {
  for (const std::int64_t members : {1, 3})
    for (const auto& [outputs, inputs] : {std::pair{1, 1}, std::pair{5, 3}, std::pair{70, 33}, std::pair{9, 1100}})
      for (const ParameterKind& weight_kind : parameter_kinds)
        for (const ParameterKind& factor_kind : parameter_kinds)
          for (const bool accumulate : {false, true})
            check_rank_one({members, outputs, inputs, weight_kind, factor_kind}, accumulate, -1);
}

TEST_CASE("rank_one_backward on the GPU leaves out the gradients that are not wanted", "[gpu]") {
  for (const ParameterKind& kind : parameter_kinds)
    for (const int unwanted : {0, 1, 2}) check_rank_one({3, 21, 40, {true, false}, kind}, true, unwanted);
}
