#include <lpw/cpu/activation.hpp>

#include <limits>

#include "catch.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("materialize applies each member's map to its own rows", "[activation]", float, double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const std::int64_t channels : {1, 3, 16, 37})
    for (const bool relu : {false, true}) {
      INFO("channels " << channels << " relu " << relu);
      const Shape shape{3, 2, 5, 3, channels};
      const Activation<TestType, Cpu> x{.raw = random_tensor<TestType>(shape, 1),
                                        .mean = random_tensor<W>({3, channels}, 4),
                                        .scale = random_tensor<W>({3, channels}, 2),
                                        .shift = random_tensor<W>({3, channels}, 3),
                                        .relu = relu};
      const auto y = materialize(x);
      CHECK(y.shape() == shape);
      int wrong = 0, negative = 0;
      for (std::int64_t i = 0; i < y.size(); ++i) {
        const std::int64_t k = i / shape.size_from(1), c = i % channels;
        const W z = std::fma(W(x.raw.data()[i]) - x.mean.row(k)[c], x.scale.row(k)[c], x.shift.row(k)[c]);
        negative += z < W(0);
        wrong += y.data()[i] != TestType(relu && z < W(0) ? W(0) : z);
        // Batch norm's backward takes its mask from centred(): it must be the set of positive outputs.
        const W again = centred(W(x.raw.data()[i]), x.mean.row(k)[c], x.scale.row(k)[c], x.shift.row(k)[c]);
        if (relu) wrong += (W(y.data()[i]) > W(0)) != (again > W(0));
      }
      CHECK(wrong == 0);
      CHECK(negative > 0);
    }
}

TEST_CASE("materialize shares the memory of an activation with nothing pending", "[activation]") {
  const Activation<float, Cpu> x{.raw = random_tensor<float>({1, 2, 3}, 1)};
  CHECK(materialize(x).data() == x.raw.data());
}

TEST_CASE("a centred map rounds the difference, and the rest once", "[activation]") {
  const float x = 1 + 0x1p-12f;
  // x x = 1 + 2^-11 + 2^-24: the last term is lost if the product is rounded before the sum.
  CHECK(centred(x, 0.f, x, -(1 + 0x1p-11f)) == 0x1p-24f);
  CHECK(centred(1e5f, 1e5f, 316.f, 0.25f) == 0.25f);
}
