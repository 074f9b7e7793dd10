#include <memory>

#include <lpw/autograd/elementwise.hpp>

#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::Contains;

TEMPLATE_TEST_CASE("tensors come back from the GPU as they went, strided rows too", "[gpu]", float, bfloat16, lpw::half,
                   std::int32_t) {
  for (const bool strided : {false, true}) {
    Tensor<TestType, Cpu> store({3, 40});
    for (std::int64_t i = 0; i < store.size(); ++i) store.data()[i] = TestType(static_cast<float>(i % 100));
    const auto host = strided ? store.columns(8, {4, 5}) : store;
    const auto device = to_device<Cuda>(host);
    CHECK(values_of(to_host(device)) == values_of(host));
    CHECK(values_of(to_host(clone(device))) == values_of(host));
  }
}

TEST_CASE("copy and fill on the GPU reach the rows of a view and nothing between them", "[gpu]") {
  auto store = full<float, Cuda>({3, 40}, 7.f);
  auto view = store.columns(8, {4, 5});
  fill(view, 2.f);
  const auto host = to_host(store);
  for (int row = 0; row < 3; ++row)
    for (int i = 0; i < 40; ++i) REQUIRE(host.row(row)[i] == (i >= 8 && i < 28 ? 2.f : 7.f));
  auto other = zeros<float, Cuda>({3, 4, 5});
  copy(view, other);
  CHECK(values_of(to_host(other)) == std::vector<double>(60, 2.0));
  CHECK_THROWS_AS(copy(store, other), ShapeError);
}

TEST_CASE("the GPU's pool hands freed blocks out again", "[gpu]") {
  const void* first = Tensor<float, Cuda>({1000}).data();
  CHECK(Tensor<float, Cuda>({1000}).data() == first);
}

TEST_CASE("a shortage of GPU memory says how much there is and what to do", "[gpu]") {
  std::size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  CHECK_THROWS_WITH((Tensor<float, Cuda>({static_cast<std::int64_t>(total)})),
                    Contains("bytes requested on the GPU, which has ") && Contains("lower `member_chunk`"));
  CHECK_NOTHROW(Tensor<float, Cuda>({1000}));
}

TEST_CASE("an error of CUDA names the call and the place", "[gpu]") {
  CHECK_THROWS_WITH(cuda::check(cudaErrorInvalidValue, "cudaSomething"),
                    Contains("cudaSomething: cudaErrorInvalidValue") && Contains("tensor.cpp:"));
}

TEST_CASE("a view of memory on the GPU is that memory, owned by whoever allocated it", "[gpu]") {
  void* block = nullptr;
  cuda::check(cudaMalloc(&block, 12 * sizeof(float)), "cudaMalloc");
  int released = 0;
  {
    std::shared_ptr<void> owner(block, [&](void* memory) {
      ++released;
      static_cast<void>(cudaFree(memory));
    });
    auto all = Tensor<float, Cuda>::view(static_cast<float*>(block), {12}, owner);
    fill(all, 7.f);
    const auto before = cuda::pool().usage().used;
    auto view = Tensor<float, Cuda>::view(static_cast<float*>(block) + 1, {2, 3}, owner,
                                          5);  // neither aligned to 16 bytes nor contiguous
    CHECK(cuda::pool().usage().used == before);
    CHECK_FALSE(view.unique());
    fill(view, 2.f);
    CHECK(values_of(to_host(all)) == std::vector<double>{7, 2, 2, 2, 7, 7, 2, 2, 2, 7, 7, 7});
    copy(to_device<Cuda>(random_tensor<float>({2, 3}, 1)), view);
    CHECK(values_of(to_host(clone(view))) == values_of(random_tensor<float>({2, 3}, 1)));
    owner.reset();
    all = {};

    const auto* memory = static_cast<const float*>(block);
    auto constant = Tensor<float, Cuda>::view(memory + 1, {1, 3}, nullptr);
    CHECK_THROWS_AS(fill(constant, 1.f), Error);
    CHECK_THROWS_AS(copy(clone(constant), constant), Error);
    const Tape tape = Tape::evaluation();
    const auto sum =
        add(tape.input(constant), tape.input(constant)).value();  // add() would overwrite a tensor of its own
    CHECK(sum.data() != memory + 1);
    CHECK(distance(sum, to_host(add(tape.input(clone(constant)), tape.input(constant)).value())) == 0);
    CHECK(released == 0);
    cuda::synchronize();
  }
  CHECK(released == 1);
}
