// Batch norm at the size of training, with the GPU's own limits. The emulator, on which this takes too long, runs the
// same plans on small GPUs (batch_norm_regimes.cpp).
#include "cuda/batch_norm_check.hpp"
#include "cuda/batch_norm_regimes.hpp"

#if !defined(LPW_EMULATOR)

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("batch norm of a layer that fills the GPU is right, and the same every time", "[gpu]", float,
                   bfloat16) {
  const std::int64_t rows = large_rows * 4 / static_cast<std::int64_t>(sizeof(TestType));
  const BatchNormCase c{.x = {large_members, rows, large_channels},
                        .kind = {.shared = true, .strided = false},
                        .residual = true,
                        .relu = true};
  const BatchNormOperands<TestType> o(c);
  const CpuForward<TestType> cpu(o);
  check_forward(o, cpu, Runs::twice);
  check_backward(o, cpu, Runs::twice);
}

#endif
