// Batch norm in every regime, on plans for a GPU that is smaller than the one at hand, so that small tensors do.
#include "cuda/batch_norm_regimes.hpp"
#include "cuda/batch_norm_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Parameters of every kind, gradients that are added and not, a residual under ReLU.
template <class T>
[[nodiscard]] std::vector<BatchNormCase> of_type() {
  std::vector<BatchNormCase> cases;
  for (const RegimeCase& c : regime_cases)
    cases.push_back({.x = {c.members, c.rows_of(sizeof(T)), c.channels},
                     .kind = parameter_kinds[cases.size() % 3],
                     .residual = true,
                     .relu = true,
                     .accumulate = cases.size() % 2 == 0});
  return cases;
}

}  // namespace

TEMPLATE_TEST_CASE("batch norm on the GPU is right in every regime and the same every time", "[gpu]", float, bfloat16,
                   lpw::half) {
  const auto cases = of_type<TestType>();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    INFO(regime_cases[i]);
    const cuda::ScopedLimits limits(regime_cases[i].limits);
    const BatchNormOperands<TestType> o(cases[i]);
    const CpuForward<CpuReference<TestType>> cpu(o);
    check_forward(o, cpu, Runs::twice);
    check_backward(o, cpu, Runs::twice);
  }
}
