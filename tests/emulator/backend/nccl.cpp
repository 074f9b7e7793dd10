// Members over processes whose GPUs sum by NCCL: as one process of two sees it, where the other one has a member with
// the same weights, and the same minibatches; and in two and three processes against one.
#include "emulator/nccl_processes.hpp"

#include <lpw/distributed/members.hpp>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/sam.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/support.hpp"
#include "support/errors.hpp"
#include "train/toy.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Process 0 of two that have the same.
struct OneOfTwo : distributed::SingleProcess {
  [[nodiscard]] int size() const { return 2; }
  template <class W>
  void sum(std::span<W> values) const {
    for (W& value : values) value *= 2;
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    std::copy(own.begin(), own.end(), all.begin());
    std::copy(own.begin(), own.end(), all.begin() + std::ssize(own));
  }
};

/// All members of a toy, and the optimizer that steps them, after steps that are issued, captured and replayed.
template <class M>
std::vector<Tensor<float, Cpu>> after_steps(M&& members, std::uint32_t steps = 5) {
  Toy<Cuda> network;
  optim::Sgd optimizer(network, {.learning_rate = 0.1, .momentum = 0.9});
  members.release(network, optimizer, {.members = 2, .late = Group::batch_norm});
  const auto x = random_tensor<float>({1, 6, 4, 4, 3}, 4);
  Tensor<float, Cpu> inputs(x.shape().with(0, members.count));
  Tensor<std::int32_t, Cpu> labels({members.count, 6});
  for (std::int64_t k = 0; k < members.count; ++k) {
    std::copy_n(x.data(), x.size(), inputs.row(k));
    for (std::int32_t i = 0; i < 6; ++i) labels.row(k)[i] = i % 4;
  }
  const auto images = on_device(inputs);
  const auto classes = to_device<Cuda>(labels);
  Replay<Cuda> replay;
  for (std::uint32_t step = 0; step < steps; ++step) {
    optimizer.advance(1, 1);
    replay.run("step", step, [&](std::uint32_t) {
      auto pass = members.pass(network, images);
      members.overlap(network, pass);
      Tape tape(pass);
      tape.backward(cross_entropy(network.forward(tape.input(images)), classes));
      members.sum_gradients(network);
      optimizer.apply();
    });
  }
  const auto flat = nn::flatten(network);
  return {to_host(flat->value.base), to_host(flat->value.late.rows(0, 1)), to_host(optimizer.velocity().base)};
}

struct BothHere {
  std::int64_t count = 2;
  void release(Toy<Cuda>& network, auto& optimizer, const ReleaseOptions& options) const {
    lpw::release(network, optimizer, options);
  }
  [[nodiscard]] TapeOptions pass(Toy<Cuda>&, const Tensor<float, Cuda>&) const { return {}; }
  void overlap(Toy<Cuda>&, TapeOptions&) const {}
  void sum_gradients(Toy<Cuda>&) const {}
};

struct OneHere : distributed::Members<distributed::Nccl<OneOfTwo>> {
  using Members::Members;
  std::int64_t count = 1;
};

}  // namespace

TEST_CASE("members over processes sum on their GPUs, within a step that is captured") {
  auto& others = emulator::Others::instance();
  others = {.times = 2};
  OneOfTwo processes;
  {
    distributed::Nccl<OneOfTwo> gpus(processes);
    CHECK(others.open == 1);
    const auto found = after_steps(OneHere(gpus));
    CHECK(others.summed == 5);
    CHECK(others.asked == 2);  // once issued, once captured
    const auto expected = after_steps(BothHere());
    // Two members' gradients are added up within a product there, and as floats here: some eps = 6e-8 a step.
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(distance(found[i], expected[i]) < 1e-5);

    // Whichever of the two streams does its work as late as it may: chunks are final before they are summed, and sums
    // are there before the optimizer steps.
    for (const auto stream : {cuda::stream(), cuda::sum_stream()})
      for (const std::int64_t chunk : {0, 5, 1000}) {
        CAPTURE(stream == cuda::sum_stream(), chunk);
        const emulator::Late late(stream);
        const auto again = after_steps(OneHere(gpus, {.chunk = chunk}));
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(distance(again[i], found[i]) == 0);
      }

    auto doubles = to_device<Cuda>(full<double, Cpu>({3}, 1.5));
    gpus.sum_on_device(std::span(doubles.data(), 3));
    CHECK(to_host(doubles).data()[2] == 3);
    std::array<double, 1> host{4};
    gpus.sum(std::span<double>(host));  // by the processes' own
    CHECK(host[0] == 8);
  }
  CHECK(others.open == 0);

  struct Alone : OneOfTwo {
    [[nodiscard]] int rank() const { return 1; }  // whom nobody tells the identity
  } alone;
  CHECK(contains(message_of<CudaError>([&] { distributed::Nccl<Alone> gpus(alone); }),
                 "ncclCommInitRank: invalid argument"));
}

TEST_CASE("the stand-in for NCCL sums floats and doubles, and refuses what it does not do") {
  auto& others = emulator::Others::instance();
  others = {.times = 3};
  ncclUniqueId id;
  ncclComm_t gpus = nullptr;
  REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  REQUIRE(ncclCommInitRank(&gpus, 2, id, 0) == ncclSuccess);
  const auto reduced = [&]<class W>(W value, ncclDataType_t type, ncclRedOp_t operation) {
    auto there = to_device<Cuda>(full<W, Cpu>({2}, value));
    const auto result = ncclAllReduce(there.data(), there.data(), 2, type, operation, gpus, cuda::stream());
    return std::pair(result, to_host(there).data()[1]);
  };
  CHECK(reduced(1.5f, ncclFloat32, ncclSum) == std::pair(ncclSuccess, 4.5f));
  CHECK(reduced(1.5, ncclFloat64, ncclSum) == std::pair(ncclSuccess, 4.5));
  CHECK(reduced(1.5f, ncclFloat32, ncclMax) == std::pair(ncclInvalidArgument, 1.5f));
  CHECK(reduced(1.5f, ncclFloat16, ncclSum) == std::pair(ncclInvalidArgument, 1.5f));
  CHECK(others.asked == 2);
  CHECK(ncclCommDestroy(gpus) == ncclSuccess);
}

TEST_CASE("chunks of a gradient are summed beside backward on the GPU, and stay where they are until then") {
  auto& others = emulator::Others::instance();
  others = {};
  OneOfTwo processes;
  distributed::Nccl<OneOfTwo> gpus(processes);
  const auto x = on_device(random_tensor<float>({1, 6, 4, 4, 3}, 4));
  const auto labels = to_device<Cuda>(random_indices({1, 6}, 4, Philox(3), 0));
  const auto backward = [&](auto& members, Toy<Cuda>& network) {
    lpw::optim::Sgd optimizer(network, {});
    members.release(network, optimizer, {.members = 2, .late = Group::batch_norm});
    auto pass = members.pass(network, x);
    members.overlap(network, pass);
    Tape tape(pass);
    const auto loss = cross_entropy(network.forward(tape.input(x)), labels);
    const auto begin = emulator::StandIn::instance().issued();
    tape.backward(loss);
    return begin;
  };
  {
    Toy<Cuda> network;
    distributed::Members members(gpus, {.chunk = 20});
    const auto begin = backward(members, network), end = emulator::StandIn::instance().issued();
    CHECK(others.asked == 4);  // of 68 weights, all of which are before the batch norm's
    REQUIRE(others.asked_at.size() == 4);
    CHECK(others.asked_at.front() - begin < (end - begin) / 2);
    members.sum_gradients(network);
    CHECK(others.asked == 4);
  }
  std::weak_ptr<void> store;
  std::vector<float> gradient, summed;
  others.sum = [&](const ncclComm&, const void* values, std::size_t count, ncclDataType_t) {
    const auto* first = static_cast<const float*>(values);
    summed.insert(summed.end(), first, first + count);
  };
  {
    const emulator::Late late(cuda::sum_stream());
    {
      Toy<Cuda> network;
      distributed::Members members(gpus);
      backward(members, network);
      const auto flat = nn::flatten(network);
      const auto values = to_host(flat->gradient.base);
      gradient.assign(values.data(), values.data() + values.size());
      store = flat;
    }
    const auto other = full<float, Cuda>({1, std::ssize(gradient)}, 77.f);
    CHECK(summed.empty());
    CHECK_FALSE(store.expired());  // an error ended the network
    gpus.finish_sums_on_device();
    CHECK(store.expired());
    const auto next = full<float, Cuda>({1, std::ssize(gradient)}, 78.f);  // where it was, perhaps
  }
  CHECK(summed == gradient);
  others.sum = {};
}

namespace {

/// Two batch norms, the second with a residual, a hidden layer and a head, and dropout of all four numbers of a draw at
/// a time, and of six features a sample.
template <class T>
struct Normalized {
  using value_type = T;
  using device_type = Cuda;
  [[nodiscard]] Variable<T, Cuda> forward(const Variable<T, Cuda>& x) {
    const auto normalized = second.forward(dropout(first.forward(x), 0.1), x);
    return head.forward(dropout(hidden.forward(global_average_pool(normalized)), 0.2));
  }
  template <class F>
  void visit(F&& f) {
    f("first", first), f("second", second), f("hidden", hidden), f("head", head);
  }
  nn::BatchNorm<T, Cuda> first{8, {}}, second{8, {.relu = true}};
  nn::Initializer init{Philox(1)};
  nn::Linear<T, Cuda> hidden{{8, 6}, init}, head{{6, 4, true, true}, init};
};

/// What a run is of: iterations before the release of some members, and after it.
struct Course {
  std::int64_t members = 3, batch = 7;
  std::uint32_t before = 3, after = 3;
  bool sam = false;
  std::int64_t chunk = 9;
  bool late_sums = false;  // or else the other work
};

template <class T>
Tensor<T, Cuda> read(const Tensor<T, Cpu>& all, const data::ReadMembers& members) {
  const auto whole = all.rows(members.first, members.count);
  if (members.parts == 1) return to_device<Cuda>(clone(whole));
  const auto [count, before] = members.samples_of(all.dim(1));
  const Shape sample = all.shape().slice(2, all.shape().rank());
  const auto part = whole.reshaped(sample.prepend(all.dim(1))).rows(before, count);
  return to_device<Cuda>(clone(part).reshaped(sample.prepend(count).prepend(1)));
}

/// Weights, statistics and velocities of all members after steps that are issued, captured and replayed.
template <class T, class M>
std::vector<Tensor<float, Cpu>> after_course(M&& members, const Course& course) {
  Normalized<T> network;
  optim::Sgd optimizer(network, {.learning_rate = 0.05, .momentum = 0.9, .clip = 0.2});
  optim::Sam sam(optimizer, {.rho = 0.1, .adaptive = true});
  Replay<Cuda> replay;
  Tensor<T, Cuda> images;
  Tensor<std::int32_t, Cuda> labels;
  for (std::uint32_t step = 0; step < course.before + course.after; ++step) {
    if (step == course.before)
      members.release(network, optimizer,
                      {.members = course.members, .late = Group::batch_norm, .sigma = 0.1, .random = Philox(5)});
    const auto here = members.of(network);
    auto inputs = read(random_tensor<T>({here.all, course.batch, 4, 4, 8}, 20 + step), here);
    auto classes = read(random_indices({here.all, course.batch}, 4, Philox(3, Stream::test, step), 0), here);
    if (step == 0 || step == course.before) images = inputs, labels = classes;  // where the replayed step finds them
    copy(inputs, images), copy(classes, labels);
    auto pass = members.pass(network, images);
    optimizer.advance();
    const auto accumulate = [&] {
      members.overlap(network, pass);
      Tape tape(pass);
      tape.backward(cross_entropy(network.forward(tape.input(images)), labels));
      members.sum_gradients(network);
    };
    replay.run(step < course.before ? "plain" : "members", step, [&](std::uint32_t number) {
      pass.random = Philox(7, Stream::dropout, number);
      accumulate();
      if (course.sam) {
        auto ascent = sam.ascend();
        accumulate();
        ascent.restore();
      }
      optimizer.apply();
    });
  }
  members.gather(network, optimizer);
  const auto flat = nn::flatten(network);
  return {to_host(flat->value.base), to_host(flat->value.late), to_host(flat->buffers),
          to_host(optimizer.velocity().base), to_host(optimizer.velocity().late)};
}

struct AllOnOne {
  [[nodiscard]] data::ReadMembers of(auto& network) const { return nn::members(network); }
  void release(auto& network, auto& optimizer, const ReleaseOptions& options) const {
    lpw::release(network, optimizer, options);
  }
  [[nodiscard]] TapeOptions pass(auto&, const auto&) const { return {}; }
  void overlap(auto&, TapeOptions&) const {}
  void sum_gradients(auto&) const {}
  void gather(auto&, auto&) const {}
};

/// Holds the first of so many processes to one.
template <class T = float>
void check_course(int processes, const Course& course) {
  CAPTURE(processes, course.members, course.sam);
  std::vector<Tensor<float, Cpu>> found;
  const auto& others = emulator::Others::instance();
  CHECK(in_nccl_processes(processes, [&](auto& gpus) {
    const emulator::Late late(course.late_sums ? cuda::sum_stream() : cuda::stream());
    found = after_course<T>(distributed::Members(gpus, {.chunk = course.chunk}), course);
    require_same_bits(gpus, found);
  }));
  CHECK(others.asked < others.summed);  // sums are replayed, too
  check_near<T>(found, after_course<T>(AllOnOne(), course));
}

}  // namespace

TEST_CASE("one member's minibatches are cut over GPUs, and members are spread over them, as on one") {
  check_course(2, {});
  check_course(2, {.members = 2, .sam = true, .late_sums = true});
  check_course(3, {.members = 2, .late_sums = true});  // two GPUs share a member
  check_course(3, {.members = 2, .batch = 6, .sam = true, .chunk = 0});
  check_course<bfloat16>(3, {.members = 2});
}
