// The stand-in's streams: work that must wait for another stream's and does not is done too early there.
#include <vector>

#include <lpw/cuda/base/graph.hpp>
#include <lpw/cuda/base/pinned.hpp>
#include <lpw/data/device_loader.hpp>
#include <lpw/data/synthetic.hpp>

#include "cuda/support.hpp"
#include "support/errors.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

void copy_on(cudaStream_t stream, const Tensor<float, Cuda>& from, Tensor<float, Cuda>& to) {
  cuda::check(cudaMemcpyAsync(to.data(), from.data(), sizeof(float), cudaMemcpyDeviceToDevice, stream), "copy");
}

float value_of(const Tensor<float, Cuda>& tensor) { return to_host(tensor).data()[0]; }

}  // namespace

TEST_CASE("work that waits for no event goes before that of a stream that is late") {
  cuda::Event event;
  auto from = full<float, Cuda>({1}, 0.f), to = full<float, Cuda>({1}, 0.f);
  for (const bool waits : {false, true}) {
    CAPTURE(waits);
    fill(from, 1.f), fill(to, 0.f);
    {
      const emulator::Late late(cuda::copy_stream());
      copy_on(cuda::copy_stream(), from, to);
      event.record(cuda::copy_stream());
      if (waits) event.hold(cuda::stream());
      CHECK(value_of(to) == (waits ? 1 : 0));
    }
    CHECK(value_of(to) == 1);
    fill(to, 0.f);
    const emulator::Late late(cuda::stream());
    fill(from, 2.f);
    event.record(cuda::stream());
    fill(from, 3.f);
    if (waits) event.hold(cuda::copy_stream());
    copy_on(cuda::copy_stream(), from, to);
    CHECK(value_of(to) == (waits ? 2 : 1));
  }
}

TEST_CASE("a graph's streams are late where they are, and all must be waited for") {
  cuda::Event fork, join;
  const cudaStream_t side = cuda::copy_stream();
  auto from = full<float, Cuda>({1}, 0.f), between = full<float, Cuda>({1}, 0.f), to = full<float, Cuda>({1}, 0.f);
  const cuda::Graph graph([&] {
    fill(from, 1.f);
    fork.record(cuda::stream()), fork.hold(side);
    fill(from, 2.f);  // which the copy is not to see, and may
    copy_on(side, from, between);
    join.record(side);
    copy_on(side, to, between);
    fork.record(side);
    join.hold(cuda::stream());
    copy_on(cuda::stream(), between, to);
    fork.hold(cuda::stream());
  });
  fill(to, 7.f);
  graph.launch();
  CHECK(value_of(to) == 7);  // at once: the side's second copy was there before what waits for its first
  {
    const emulator::Late late(cuda::stream());
    graph.launch();
    CHECK(value_of(to) == 7);
    CHECK(value_of(from) == 2);
  }
  fill(to, 0.f);
  const emulator::Late late(side);
  graph.launch();
  CHECK(value_of(to) == 2);

  const auto captured = [](auto&& work) { return message_of<CudaError>([&] { cuda::Graph unsound(work); }); };
  const auto forked = [&] {
    fork.record(cuda::stream()), fork.hold(side);
    copy_on(side, from, to);
  };
  CHECK(contains(captured(forked), "cudaGraphInstantiate"));  // of nothing
  CHECK(contains(captured([&] {
                   forked();
                   join.record(side), join.hold(cuda::stream());
                   copy_on(side, from, to);
                 }),
                 "cudaGraphInstantiate"));
  CHECK(contains(captured([&] { fork.hold(side); }), "cudaErrorCapturedEvent"));  // of a capture that is over
  join.record(side);
  CHECK(contains(captured([&] { join.hold(cuda::stream()); }), "cudaErrorStreamCaptureIsolation"));
  fill(to, 5.f);
  CHECK(value_of(to) == 5);
}

TEST_CASE("minibatches are made behind what reads those before in their place, and before what reads them") {
  const auto dataset = data::synthetic({}, {.train = 53, .test = 1});
  const data::LoaderOptions options{.batch = 8, .augment = {.pad_crop = 4, .flip = true}, .seed = 3};
  const data::Loader<float> loader(dataset.train, dataset.normalization, options);
  const data::DeviceLoader<float> device_loader(dataset.train, dataset.normalization, options);
  for (const auto stream : {cuda::stream(), cuda::copy_stream()}) {
    CAPTURE(stream == cuda::copy_stream());
    const emulator::Late late(stream);
    std::vector<Tensor<float, Cuda>> found;
    for (const auto& batch : device_loader.epoch(1)) found.push_back(clone(batch.images));
    std::size_t i = 0;
    for (const auto& expected : loader.epoch(1)) CHECK(same_bits(to_host(found.at(i++)), expected.images));
  }
}
