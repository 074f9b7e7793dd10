// Numbers that do not fit what they are handed to.
#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::StartsWith;

TEST_CASE("a matrix product past what cuBLAS counts is refused by the field's name") {
  Tensor<float, Cuda> block({16});
  const float* from = block.data();
  constexpr std::int64_t large = (std::int64_t{1} << 32) + 2;
  const auto product = [&](std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t inner,
                           std::int64_t stride) {
    cuda::gemm<float, float>(count, {from, rows, inner, stride}, {from, inner, columns, 4},
                             {block.data(), rows, columns, 4}, false);
  };
  CHECK_NOTHROW(product(1, 2, 2, 2, 4));
  for (const auto& [name, call] : {std::pair<const char*, std::array<std::int64_t, 5>>{"count", {large, 2, 2, 2, 4}},
                                   {"rows", {1, large, 2, 2, 4}},
                                   {"columns", {1, 2, large, 2, 4}},
                                   {"columns", {1, 2, 2, large, 4}},
                                   {"row_stride", {1, 2, 2, 2, large}}}) {
    const auto refused = [&, &numbers = call] { product(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]); };
    CHECK_THROWS_AS(refused(), ShapeError);
    CHECK_THROWS_WITH(refused(),
                      StartsWith(to_text("gemm: `", name, "` is 4294967298; on the GPU it may be 2147483647")));
  }
}

TEST_CASE("a convolution whose weights or stride cuDNN cannot count is refused by the field's name") {
  Tensor<float, Cuda> block({16});
  const auto refused = [&](std::int64_t channels, std::int64_t out_channels, std::int64_t stride) {
    const Conv2dGeometry g{.images = 1,
                           .height = 1,
                           .width = 1,
                           .channels = channels,
                           .out_channels = out_channels,
                           .kernel_height = 1,
                           .kernel_width = 1,
                           .stride = stride,
                           .padding = 0};
    cuda::convolve<cuda::detail::ForwardPass, float>(g, {block.data(), block.data(), block.data()}, 1, false);
  };
  constexpr std::int64_t far = std::int64_t{1} << 40;
  CHECK_THROWS_AS(refused(1, 1, far), ShapeError);
  CHECK_THROWS_WITH(refused(1, 1, far), StartsWith("conv2d: `stride` is 1099511627776"));
  CHECK_THROWS_WITH(refused(1 << 16, 1 << 16, 1), StartsWith("conv2d: `weight_size` is 4294967296"));
}

TEST_CASE("rows farther apart than a pitch may be long are copied") {
  constexpr std::int64_t stride = std::int64_t{1} << 29;  // floats, 2 GB
  void* block = nullptr;
  {
    const emulator::DryRun without_filling;
    REQUIRE(cudaMalloc(&block, static_cast<std::size_t>(stride + 1024) * sizeof(float)) == cudaSuccess);
  }
  std::shared_ptr<void> owner(block, [](void* memory) { static_cast<void>(cudaFree(memory)); });
  auto rows = Tensor<float, Cuda>::view(static_cast<float*>(block), {2, 5}, owner, stride);
  const auto values = random_tensor<float>({2, 5}, 1);
  copy(to_device<Cuda>(values), rows);
  CHECK(values_of(to_host(clone(rows))) == values_of(values));
  CHECK(values_of(to_host(rows)) == values_of(values));
}

TEST_CASE("a launch over elements has no more blocks than the kernel's bounds let be resident") {
  Tensor<float, Cuda> large({1 << 16});
  fill(large, 1.f);
  CHECK(emulator::StandIn::instance().last_grid.x == emulator::StandIn::multiprocessors * kernels::element_blocks);
}
