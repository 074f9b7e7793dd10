// Replaying a training step as a CUDA graph: the first call with a key issues the work (libraries choose algorithms, the pool grows), the
// second captures it, later ones launch what was captured. The graph's temporaries are blocks that the pool has taken back: other work may
// use them between two launches, since all of it is in one stream. If the pool returns memory to the driver, the graph is forgotten.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <lpw/cuda/device.hpp>
#include <lpw/tensor/replay.hpp>

namespace lpw {

namespace cuda {

namespace detail {

/// The word on the GPU that holds a replayed step's distance from the captured one, and whether a capture is under way.
struct ReplayStep {
  Tensor<std::uint32_t, Cuda> word{{1}};
  bool capturing = false;
};

inline ReplayStep& replay_state() {
  static ReplayStep& state = *new ReplayStep;
  return state;
}

}  // namespace detail

/// Where captured work finds how many steps after the captured one it is replayed for: on the GPU; null outside of a capture.
[[nodiscard]] inline const std::uint32_t* replay_step() {
  auto& state = detail::replay_state();
  return state.capturing ? state.word.data() : nullptr;
}

/// A captured sequence of launches, copies and library calls.
class Graph {
 public:
  /// Captures what work() issues to stream(); nothing of it runs. work may allocate, but not wait for the GPU.
  template <class Work>
  explicit Graph(Work&& work) : trims_(pool().trims()) {
    static_cast<void>(detail::replay_state());  // its memory is not part of a capture
    // Relaxed: the pool may need a block from the driver.
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    {
      const Capture capture(graph);
      work();
    }
    check(cudaGraphInstantiate(&executable_, graph, 0), "cudaGraphInstantiate");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
  Graph(Graph&& other) noexcept : executable_(std::exchange(other.executable_, nullptr)), trims_(other.trims_) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(executable_, other.executable_);
    std::swap(trims_, other.trims_);
    return *this;
  }
  ~Graph() {
    if (executable_) static_cast<void>(cudaGraphExecDestroy(executable_));
  }

  /// Whether all memory it uses still belongs to the pool.
  [[nodiscard]] bool valid() const { return trims_ == pool().trims(); }
  void launch() const { check(cudaGraphLaunch(executable_, stream()), "cudaGraphLaunch"); }

 private:
  /// Ends the capture also where work() throws: the stream is usable again then.
  struct Capture {
    explicit Capture(cudaGraph_t& graph) : graph(graph) { detail::replay_state().capturing = true; }
    ~Capture() {
      detail::replay_state().capturing = false;
      if (cudaStreamEndCapture(stream(), &graph) != cudaSuccess) static_cast<void>(cudaGetLastError());
    }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    cudaGraph_t& graph;
  };

  cudaGraphExec_t executable_ = nullptr;
  std::uint64_t trims_;
};

}  // namespace cuda

template <>
class Replay<Cuda> {
 public:
  /// Has work(step) done, which must not wait for the GPU. From the second call with a key on, work is not called but for the capture, so
  /// it may leave nothing on the host. What depends on the step adds the number at cuda::replay_step() to it.
  template <class Work>
  void run(const std::string& key, std::uint32_t step, Work&& work) {
    const auto at = std::find_if(recent_.begin(), recent_.end(), [&](const Entry& entry) { return entry.key == key; });
    if (at == recent_.end()) {
      recent_.insert(recent_.begin(), Entry{key});
      if (recent_.size() > kept) recent_.pop_back();
      return work(step);
    }
    std::rotate(recent_.begin(), at, at + 1);
    auto& [name, graph, captured] = recent_.front();
    if (!graph.empty() && !graph.front().valid()) {
      graph.clear();
      return work(step);
    }
    if (graph.empty()) {
      graph.emplace_back([&] { work(step); });
      captured = step;
    }
    fill(cuda::detail::replay_state().word, step - captured);
    graph.front().launch();
  }

 private:
  /// Graphs kept: those of an epoch's full and last minibatches in two input buffers each.
  static constexpr std::size_t kept = 4;

  struct Entry {
    std::string key;
    std::vector<cuda::Graph> graph = {};  // empty after the first call, then one
    std::uint32_t captured = 0;           // the step of the capture
  };
  std::vector<Entry> recent_;  // the latest first
};

}  // namespace lpw
