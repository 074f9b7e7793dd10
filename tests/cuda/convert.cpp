#include "cuda/operands.hpp"

#include <lpw/cuda/base/convert.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("weights are rounded on the GPU as on the host, in rows of any stride and width", "[gpu]", bfloat16,
                   lpw::half) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t in : {1, 7, 16, 500})
      for (const std::int64_t columns : {in, cuda::whole_vectors<TestType>(in), in + 3})
        for (const bool strided : {false, true}) {
          INFO("members " << members << " in " << in << " columns " << columns << " strided " << strided);
          const auto weight = random_parameter<float>({members, 5, in}, strided, 1);
          auto expected = zeros<TestType, Cpu>({members, 5, columns});
          for (std::int64_t k = 0; k < members; ++k)
            for (std::int64_t i = 0; i < 5 * in; ++i)
              expected.row(k)[i / in * columns + i % in] = TestType(weight.row(k)[i]);
          CHECK(equal(cuda::weights_as<TestType>(on_device(weight), columns), expected));
        }
}

TEMPLATE_TEST_CASE("weights that stay unchanged are rounded once", "[gpu]", bfloat16, lpw::half) {
  const auto values = random_tensor<float>({1, 300}, 1);
  auto base = on_device(values), late = on_device(random_tensor<float>({3, 40}, 2));
  const auto other = on_device(random_tensor<float>({1, 300}, 3));
  const auto weight = base.columns(7, {4, 30}), row = late.rows(1, 1).columns(8, {4, 8});
  {
    const UnchangedWeights<float, Cuda> unchanged(base, late);
    const auto first = cuda::weights_as<TestType>(weight);
    const auto again = cuda::weights_as<TestType>(weight.reshaped({1, 2, 2, 30}));
    CHECK(again.data() == first.data());
    CHECK(again.shape() == Shape{1, 2, 2, 30});
    CHECK(cuda::weights_as<TestType>(row).data() == cuda::weights_as<TestType>(row).data());
    CHECK(cuda::weights_as<TestType>(late.columns(8, {4, 8})).dim(0) == 3);    // of other rows
    CHECK(cuda::weights_as<TestType>(weight, 32).shape() == Shape{1, 4, 32});  // and other columns
    CHECK(cuda::weights_as<TestType>(base.columns(7, {3, 30})).size() == 90);
    const auto apart = cuda::weights_as<TestType>(other);  // in neither store
    CHECK(cuda::weights_as<TestType>(other).data() != apart.data());
    {
      const UnchangedWeights<float, Cuda> inner(other, other);
      CHECK(cuda::weights_as<TestType>(other).data() == cuda::weights_as<TestType>(other).data());
      CHECK(cuda::weights_as<TestType>(weight).data() != first.data());
    }
    CHECK(cuda::weights_as<TestType>(weight).data() == first.data());
  }
  fill(base, 2.f);
  CHECK(equal(cuda::weights_as<TestType>(weight), full<TestType, Cpu>({1, 4, 30}, TestType(2.f))));
}
