// A loop's state on the GPU: it goes on to the same bits, released or not.
#include "cuda/support.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/io/state.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/averages/exponential_average.hpp>

#include "support/files.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct DeviceLoop {
  nn::WideResNet<float, Cuda> network{{.depth = 10, .widen = 1, .classes = 5, .dropout = 0.3}, Philox(7)};
  optim::Adam<float, Cuda> optimizer{network, {.learning_rate = 0.01}};
  optim::ExponentialAverage<float, Cuda> average{network, {.decay = 0.8}};
  data::Place place;

  void step() {
    if (place.step == 2) {
      Followers followers(optimizer, average);
      release(network, followers, {.members = 2, .late = Group::rank_one | Group::head, .sigma = 0.1});
    }
    const std::int64_t members = nn::members(network);
    const auto images = random_tensor<float>({members, 3, 8, 8, 3}, static_cast<std::uint32_t>(place.step));
    Tape tape({.random = place.random(1)});
    tape.backward(
        cross_entropy(network.forward(tape.input(on_device(images))), zeros<std::int32_t, Cuda>({members, 3})));
    optimizer.step();
    average.update();
    place.advance();
  }
};

}  // namespace

TEST_CASE("a loop's state on the GPU: it goes on to the same bits", "[gpu]") {
  const TemporaryFolder folder;
  cuda::settings().deterministic = true;
  for (const std::int64_t at : {1, 3}) {
    INFO("saved after step " << at);
    DeviceLoop whole, resumed;
    while (whole.place.step < at) whole.step();
    io::save_state(folder / "state.lpw", whole.network, whole.optimizer, whole.average, whole.place);
    io::load_state(folder / "state.lpw", resumed.network, resumed.optimizer, resumed.average, resumed.place);
    for (DeviceLoop* loop : {&whole, &resumed})
      while (loop->place.step < 4) loop->step();
    const auto same = [](const nn::FlatPair<float, Cuda>& one, const nn::FlatPair<float, Cuda>& other) {
      CHECK(same_bits(to_host(one.base), to_host(other.base)));
      CHECK(same_bits(to_host(one.late), to_host(other.late)));
    };
    const auto &one = *nn::flatten(whole.network), &other = *nn::flatten(resumed.network);
    same(one.value, other.value);
    same(whole.average.average(), resumed.average.average());
    CHECK(same_bits(to_host(one.buffers), to_host(other.buffers)));
  }
  cuda::settings().deterministic = false;
}
