// How launches are allowed shared memory, and how many blocks a multiprocessor is said to hold.
#include "cuda/support.hpp"

#include "cuda/shared_sum.hpp"
#include "support/errors.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::size_t always_allowed = 48 << 10;

/// The status of a launch that cuda::launch has not prepared, which is also the last error; it does not stay behind.
template <int Number>
[[nodiscard]] cudaError_t plain_launch(unsigned grid, std::size_t shared_bytes, bool cooperative) {
  Tensor<std::int32_t, Cuda> sums({static_cast<std::int64_t>(grid)});
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid);
  config.blockDim = dim3(LaunchPlan::block);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = cuda::stream();
  config.attrs = &attribute;
  config.numAttrs = cooperative ? 1 : 0;
  const auto status = cudaLaunchKernelEx(&config, shared_sum<Number>, SharedSum{sums.data(), 1});
  CHECK(cudaGetLastError() == status);
  cuda::synchronize();
  return status;
}

}  // namespace

TEST_CASE("a launch of more than 48 KB of shared memory is refused unless the kernel was allowed it", "[gpu]") {
  CHECK(plain_launch<0>(1, always_allowed, false) == cudaSuccess);
  CHECK(plain_launch<0>(1, always_allowed + 16, false) == cudaErrorInvalidValue);
  CHECK(plain_launch<0>(1, static_cast<std::size_t>(cuda::device_limits().shared_per_block) + 1, false) ==
        cudaErrorInvalidValue);
}

TEST_CASE("cuda::launch allows a kernel all the shared memory of a block, and less afterwards", "[gpu]") {
  for (const std::int64_t bytes :
       {cuda::device_limits().shared_per_block, std::int64_t{64} << 10, std::int64_t{1024}}) {
    INFO("shared bytes " << bytes);
    const auto words = static_cast<int>(bytes / 4);
    Tensor<std::int32_t, Cuda> sums({3});
    cuda::launch(shared_sum<1>, {.grid_x = 3, .shared_bytes = static_cast<std::size_t>(bytes)}, {sums.data(), words});
    const std::int32_t expected = words / 3 * 3 + (words % 3 == 2);
    CHECK(values_of(to_host(sums)) == std::vector<double>(3, expected));
  }
}

TEST_CASE("a multiprocessor is said to hold as many blocks as its shared memory has room for", "[gpu]") {
  const GpuLimits& gpu = cuda::device_limits();
  CHECK(static_cast<std::size_t>(gpu.shared_per_block) > always_allowed);
  CHECK(cuda::resident_blocks(shared_sum<2>, gpu.shared_per_block, 2) == 1);
  // Half of it for each of two blocks: as many as with next to none.
  const int held = cuda::resident_blocks(shared_sum<2>, gpu.shared_of_resident(), 2);
  CHECK(held == cuda::resident_blocks(shared_sum<2>, 1024, 2));
  CHECK(cuda::cooperative_limits(shared_sum<2>).resident_blocks == held);
  const cuda::ScopedLimits one(GpuLimits{.multiprocessors = 1,
                                         .shared_per_multiprocessor = 4096,
                                         .shared_per_block = 2048,
                                         .l2_bytes = 1,
                                         .resident_blocks = 1});
  CHECK(cuda::cooperative_limits(shared_sum<2>).resident_blocks == 1);
}

#if defined(LPW_EMULATOR)
TEST_CASE("the driver is asked once how many blocks of a kernel a multiprocessor holds", "[gpu]") {
  const auto questions = [] { return emulator::StandIn::instance().occupancy_questions; };
  const auto before = questions();
  for (int time = 0; time < 3; ++time)
    for (const std::int64_t bytes : {1024, 4096}) CHECK(cuda::resident_blocks(shared_sum<5>, bytes, 2) > 0);
  CHECK(questions() == before + 2);
}
#endif

TEST_CASE("a cooperative grid fills the GPU at what is said to be resident, and one block more is refused", "[gpu]") {
  const GpuLimits gpu = cuda::cooperative_limits(shared_sum<3>);
  const std::int64_t bytes = gpu.shared_of_resident();
  const auto blocks = static_cast<unsigned>(gpu.multiprocessors * gpu.resident_blocks);
  Tensor<std::int32_t, Cuda> sums({static_cast<std::int64_t>(blocks)});
  cuda::launch(shared_sum<3>, {.grid_x = blocks, .shared_bytes = static_cast<std::size_t>(bytes), .cooperative = true},
               {sums.data(), 2});
  CHECK(values_of(to_host(sums)) == std::vector<double>(blocks, 1));
  // The next multiprocessor's worth: by shared memory alone no more fit.
  CHECK(plain_launch<3>(blocks + static_cast<unsigned>(gpu.multiprocessors), static_cast<std::size_t>(bytes), true) ==
        cudaErrorCooperativeLaunchTooLarge);
}

TEST_CASE("a captured cooperative launch finds room also after the kernel was launched with less memory", "[gpu]") {
  const GpuLimits gpu = cuda::cooperative_limits(shared_sum<4>);
  const LaunchPlan full{.grid_x = static_cast<unsigned>(gpu.multiprocessors * gpu.resident_blocks),
                        .shared_bytes = static_cast<std::size_t>(gpu.shared_of_resident()),
                        .cooperative = true};
  auto sums = zeros<std::int32_t, Cuda>({static_cast<std::int64_t>(full.grid_x)});
  const cuda::Graph graph([&] { cuda::launch(shared_sum<4>, full, {sums.data(), 3}); });
  cuda::launch(shared_sum<4>, {.grid_x = 1, .shared_bytes = 1024}, {sums.data(), 2});
  CHECK(to_host(sums).data()[0] == 1);
  graph.launch();
  CHECK(values_of(to_host(sums)) == std::vector<double>(full.grid_x, 3));
}

TEST_CASE("limits above the GPU's own cannot be planned for", "[gpu]") {
  GpuLimits more = cuda::device_limits();
  ++more.multiprocessors;
  CHECK_THROWS_WITH(cuda::ScopedLimits(more), Catch::Contains("more than this GPU has"));
  CHECK(cuda::limits().multiprocessors == cuda::device_limits().multiprocessors);
}
