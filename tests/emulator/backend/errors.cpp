// Errors that were reported are over: nothing that is called later fails of them.
#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::Contains;

namespace {

/// A launch of ours, and one each of the libraries'.
void call_everything(std::int64_t channels) {
  auto x = full<float, Cuda>({1, 1, 3, 3, channels}, 1.f);
  const auto weight = full<float, Cuda>({1, 2, 1, 1, channels}, 1.f);
  const auto y = conv2d_forward(Activation<float, Cuda>{x}, weight, {});
  CHECK(values_of(to_host(y)) == std::vector<double>(18, static_cast<double>(channels)));
  const auto product = linear_forward(x.reshaped({1, 9, channels}), weight.reshaped({1, 2, channels}), {});
  CHECK(values_of(to_host(product)) == std::vector<double>(18, static_cast<double>(channels)));
}

}  // namespace

TEST_CASE("after an error of CUDA that was reported, launches and libraries work") {
  Tensor<float, Cuda> block({16});
  const auto refused = [&] {
    cuda::check(cudaMemcpy2DAsync(block.data(), 4, block.data(), 4, 8, 2, cudaMemcpyDeviceToDevice, cuda::stream()),
                "cudaMemcpy2DAsync");
  };
  CHECK_THROWS_WITH(refused(), Contains("cudaMemcpy2DAsync: cudaErrorInvalidPitchValue"));
  call_everything(21);
}

TEST_CASE("after a launch that was refused, launches and libraries work") {
  Tensor<float, Cuda> block({16});
  const kernels::Fill<float> p{block.data(), 1.f, 1, 16, 0};
  CHECK_THROWS_AS(cuda::launch(kernels::fill<float>, {.shared_bytes = std::size_t{1} << 20}, p), CudaError);
  CHECK_THROWS_AS(cuda::launch(kernels::fill<float>, {.grid_x = 1 << 20, .cooperative = true}, p), CudaError);
  call_everything(26);
}

TEST_CASE("after a failure that nobody was told of, launches and libraries work") {
  cuda::synchronize();
  cuda::DeviceMemory::release(reinterpret_cast<void*>(std::uintptr_t{64}));  // which is none of its
  call_everything(22);
  CHECK(cuda::DeviceMemory::allocate(std::size_t{1} << 60, 0) == nullptr);
  call_everything(23);
  CHECK(cuda::available());
}

TEST_CASE("an error of cuDNN is told in its own words, on one line") {
  const auto status = emulator::dnn().failed(CUDNN_STATUS_BAD_PARAM, "descriptor 3\nis not like descriptor 1");
  CHECK_THROWS_WITH(cuda::detail::check(status, "cudnnSomething"),
                    Contains("cudnnSomething: CUDNN_STATUS_BAD_PARAM, descriptor 3 is not like descriptor 1 (") &&
                        Contains("errors.cpp:"));
}

TEST_CASE("a library's failure leaves no error of CUDA behind") {
  cuda::synchronize();
  emulator::StandIn::instance().last_error = cudaErrorInvalidValue;  // as a launch in the library would
  CHECK_THROWS_WITH(cuda::detail::check(CUBLAS_STATUS_EXECUTION_FAILED, "cublasSomething", cuda::Place::current()),
                    Contains("cublasSomething: CUBLAS_STATUS_EXECUTION_FAILED"));
  call_everything(24);
}
