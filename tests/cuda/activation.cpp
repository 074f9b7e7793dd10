#include "cuda/operands.hpp"

#include <lpw/cpu/activation.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("a pending map is applied on the GPU with the CPU's bits", "[gpu]", float, bfloat16, lpw::half) {
  using Host = std::conditional_t<std::is_same_v<TestType, lpw::half>, float, TestType>;
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t channels : odd_channels)
      for (const Shape& shape : {Shape{members, 1, channels}, Shape{members, 4, 5, 2, channels}})
        for (const bool relu : {false, true}) {
          INFO(shape << " relu " << relu);
          const auto x = random_tensor<TestType>(shape, 1);
          Activation<Host, Cpu> host{Tensor<Host, Cpu>(shape), random_tensor<float>({members, channels}, 4),
                                     random_tensor<float>({members, channels}, 2),
                                     random_tensor<float>({members, channels}, 3), relu};
          std::copy_n(x.data(), x.size(), host.raw.data());
          const auto expected = materialize(host);
          const auto y = to_host(materialize(Activation<TestType, Cuda>{
              on_device(x), on_device(host.mean), on_device(host.scale), on_device(host.shift), relu}));
          std::int64_t wrong = 0;
          for (std::int64_t i = 0; i < x.size(); ++i)
            wrong += float(y.data()[i]) != float(TestType(float(expected.data()[i])));
          CHECK(wrong == 0);
        }
}

TEST_CASE("an activation with nothing pending is not copied on the GPU", "[gpu]") {
  const auto x = on_device(random_tensor<float>({2, 3, 4}, 1));
  CHECK(materialize(Activation<float, Cuda>{x}).data() == x.data());
}
