#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::StartsWith;

namespace {

/// A step that needs memory for a while, and how often its work was called for.
struct CountedStep {
  Tensor<float, Cuda> to = zeros<float, Cuda>({10});
  Replay<Cuda> replay;
  int calls = 0;

  void run() {
    replay.run("step", 0, [&](std::uint32_t) {
      ++calls;
      Tensor<float, Cuda> temporary({100000});
      fill(temporary, 3.f);
      copy(temporary.rows(0, 10), to);
    });
  }
};

}  // namespace

TEST_CASE("a replayed step does with new values in the same memory what it did before", "[gpu]") {
  auto from = zeros<float, Cuda>({100}), to = zeros<float, Cuda>({100});
  auto number = zeros<std::uint32_t, Cuda>({1});
  int calls = 0;
  Replay<Cuda> replay;
  for (std::uint32_t step = 0; step < 6; ++step) {
    fill(from, static_cast<float>(step));
    replay.run("step", step, [&](std::uint32_t) {
      ++calls;
      Tensor<float, Cuda> temporary(from.shape());
      copy(from, temporary);
      copy(temporary, to);
      if (const std::uint32_t* word = cuda::replay_step())
        cuda::check(cudaMemcpyAsync(number.data(), word, 4, cudaMemcpyDeviceToDevice, cuda::stream()),
                    "cudaMemcpyAsync");
    });
    fill(from, -1.f);  // also reuses the block of the temporary
    CHECK(values_of(to_host(to)) == std::vector<double>(100, step));
    if (step > 0) CHECK(to_host(number).data()[0] == step - 1);  // captured at step 1
  }
  CHECK(calls == 2);  // once issued, once captured
}

TEST_CASE("work under another key is another step, and a key comes back to its graph", "[gpu]") {
  auto to = zeros<float, Cuda>({10});
  int calls = 0;
  Replay<Cuda> replay;
  const auto run = [&](const std::string& key, float value) {
    replay.run(key, 0, [&](std::uint32_t) {
      ++calls;
      fill(to, value);
    });
    return to_host(to).data()[0];
  };
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int i = 0; i < 3; ++i) CHECK(run("full", 1) == 1);
    CHECK(run("last", 2) == 2);
  }
  CHECK(calls == 4);
}

TEST_CASE("what is made between replays keeps its contents", "[gpu]") {
  auto to = zeros<float, Cuda>({100});
  Replay<Cuda> replay;
  const auto run = [&] {
    replay.run("step", 0, [&](std::uint32_t) {
      Tensor<float, Cuda> temporary({100});
      fill(temporary, 3.f);
      copy(temporary, to);
    });
  };
  for (int i = 0; i < 3; ++i) run();
  std::vector<Tensor<float, Cuda>> kept;  // more than there are free blocks
  for (int i = 0; i < 5; ++i) kept.push_back(full<float, Cuda>({100}, 7.f));
  cuda::synchronize();
  cuda::pool().trim();
  fill(to, 0.f);
  run();
  CHECK(values_of(to_host(to)) == std::vector<double>(100, 3));
  for (const auto& tensor : kept) CHECK(values_of(to_host(tensor)) == std::vector<double>(100, 7));
}

TEST_CASE("what a captured step frees of what was there before stays as it finds and leaves it", "[gpu]") {
  auto to = zeros<float, Cuda>({100});
  auto read = full<float, Cuda>({100}, 3.f), written = full<float, Cuda>({100}, 4.f);
  const cuda::Graph graph([&] {
    copy(read, to);
    fill(written, 5.f);
    read = {}, written = {};
    Tensor<float, Cuda> temporary({100});
    fill(temporary, 6.f);
  });
  std::vector<Tensor<float, Cuda>> others;  // which look for free blocks
  for (int i = 0; i < 5; ++i) others.push_back(full<float, Cuda>({100}, 7.f));
  const cuda::Graph another([&] {
    Tensor<float, Cuda> temporary({100}), second({100}), third({100});
    fill(temporary, 8.f), fill(second, 8.f), fill(third, 8.f);
  });
  for (int i = 0; i < 3; ++i) {
    another.launch();
    fill(to, 0.f);
    graph.launch();
    CHECK(values_of(to_host(to)) == std::vector<double>(100, 3));
    for (const auto& tensor : others) CHECK(values_of(to_host(tensor)) == std::vector<double>(100, 7));
  }
}

TEST_CASE("work that is issued in place of graphs uses their memory, but keeps none of it", "[gpu]") {
  CountedStep step;
  for (int i = 0; i < 3; ++i) step.run();
  const auto held = cuda::pool().usage().held;
  step.replay.run("another", 0, [&](std::uint32_t) { static_cast<void>(full<float, Cuda>({90000}, 4.f)); });
  CHECK(cuda::pool().usage().held == held);
  CHECK(cuda::counters(1 << 15) != nullptr);
  step.replay.run("third", 0, [&](std::uint32_t) { CHECK(cuda::counters(1 << 16) != nullptr); });  // which stay
  step.run();
  CHECK(step.calls == 2);
  Tensor<float, Cuda> kept;
  step.replay.run("fourth", 0, [&](std::uint32_t) { kept = full<float, Cuda>({80000}, 5.f); });
  step.run();
  CHECK(step.calls == 3);  // anew: the memory is not what it was
  CHECK(values_of(to_host(step.to)) == std::vector<double>(10, 3));
  CHECK(values_of(to_host(kept)) == std::vector<double>(80000, 5));
}

TEST_CASE("a graph is forgotten when the pool has given its memory to others", "[gpu]") {
  CountedStep step;
  for (int i = 0; i < 3; ++i) step.run();
  CHECK(step.calls == 2);
  cuda::synchronize();
  cuda::pool().drop_reserve();
  cuda::pool().trim();
  fill(step.to, 0.f);
  step.run();
  CHECK(step.calls == 3);
  CHECK(to_host(step.to).data()[9] == 3.f);
  step.run();
  CHECK(step.calls == 4);  // captured anew
  cuda::Graph graph([&] { fill(step.to, 4.f); });
  cuda::pool().drop_reserve();
  CHECK_THROWS_AS(graph.launch(), CudaError);
}

TEST_CASE("a capture that fails leaves the stream usable", "[gpu]") {
  Replay<Cuda> replay;
  auto to = zeros<float, Cuda>({10});
  const auto waits = [&](std::uint32_t) { static_cast<void>(to_host(to)); };
  replay.run("waits", 0, waits);
  CHECK_THROWS_WITH(replay.run("waits", 1, waits), StartsWith("cuda"));  // the copy or the wait
  fill(to, 5.f);
  CHECK(to_host(to).data()[0] == 5.f);
}
