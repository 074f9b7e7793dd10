// Which of cuDNN's algorithms is chosen: the stand-in's names say what is wrong with each.
#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("the convolution algorithm that is chosen is the fastest, once loaded, of those that run", "", float,
                   bfloat16) {
  std::int64_t channels = sizeof(TestType);  // another geometry each time, whose plan is not yet there
  for (const bool deterministic : {false, true}) {
    INFO("deterministic " << deterministic);
    cuda::settings().deterministic = deterministic;
    channels += 4;
    emulator::dnn().loaded.clear();
    emulator::dnn().most_endless_images = 0;
    constexpr std::int64_t images = 40;
    const auto x = on_device(random_tensor<TestType>({1, images, 3, 3, channels}, 1));
    const auto weight = on_device(random_tensor<float>({1, 3, 2, 2, channels}, 2));
    const auto chosen = [] { return std::exchange(emulator::dnn().last_algorithm, -1); };
    const auto y = conv2d_forward(Activation<TestType, Cuda>{x}, weight, {});
    CHECK(chosen() == emulator::algorithm::warm);
    Gradient<TestType, Cuda> dx{clone(x)};
    conv2d_backward_data(y, weight, {}, dx);
    CHECK(chosen() == emulator::algorithm::warm);
    Gradient<float, Cuda> dweight{clone(weight)};
    conv2d_backward_weight(Activation<TestType, Cuda>{x}, y, {}, dweight);
    CHECK(chosen() == emulator::algorithm::warm);
    INFO("an algorithm without end ran on " << emulator::dnn().most_endless_images << " of " << images << " images");
    CHECK(emulator::dnn().most_endless_images <= images / 16);
    CHECK((deterministic || emulator::dnn().most_endless_images > 0));
    cuda::settings().deterministic = false;
  }
}

TEST_CASE("a convolution that no algorithm serves is refused, and what refused it does not linger") {
  const auto most = std::exchange(cuda::settings().convolution_workspace, emulator::dnn_workspace - 1);
  const auto x = on_device(random_tensor<float>({1, 1, 4, 4, 17}, 1));
  const auto weight = on_device(random_tensor<float>({1, 2, 1, 1, 17}, 2));
  CHECK_THROWS_WITH(conv2d_forward(Activation<float, Cuda>{x}, weight, {}),
                    Catch::Matchers::StartsWith("cudnnConvolutionForward: cuDNN has no algorithm for 1 images of 4x4"));
  cuda::settings().convolution_workspace = most;
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  CHECK_NOTHROW(conv2d_forward(Activation<float, Cuda>{x}, weight, {}));
}

TEST_CASE("a convolution for whose trials the GPU has no memory says so, and takes what the pool keeps unused first") {
  const auto x = on_device(random_tensor<float>({1, 1, 4, 4, 21}, 1));
  const auto weight = on_device(random_tensor<float>({1, 2, 1, 1, 21}, 2));
  const auto y = conv2d_forward(Activation<float, Cuda>{x}, weight, {});  // memory for the output of the next
  auto& device = emulator::StandIn::instance();
  const std::size_t held = emulator::StandIn::memory - device.memory_left();
  const auto without_memory = [&](std::int64_t channels) {
    const auto more = on_device(random_tensor<float>({1, 1, 1, 1, channels}, 3));
    const auto kernel = on_device(random_tensor<float>({1, 1, 1, 1, channels}, 4));
    device.set_limit(emulator::StandIn::memory - device.memory_left());
    CHECK_THROWS_AS(conv2d_forward(Activation<float, Cuda>{more}, kernel, {}), OutOfMemory);
    device.set_limit(emulator::StandIn::memory);
    CHECK_NOTHROW(conv2d_forward(Activation<float, Cuda>{more}, kernel, {}));
  };
  cuda::synchronize();
  cuda::pool().trim();
  CHECK(emulator::StandIn::memory - device.memory_left() <= held);
  for (const bool deterministic : {false, true}) {
    cuda::settings().deterministic = deterministic;
    without_memory(deterministic ? 23 : 22);
  }
  cuda::settings().deterministic = false;
}
