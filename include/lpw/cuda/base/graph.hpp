// Replaying a training step as a CUDA graph: the first call with a key issues the work (libraries choose algorithms,
// the pool grows), the second captures it, later ones launch what was captured. The pool reserves the memory of what
// was captured, temporaries included: all graphs share it, since they run one after another, as does work that is
// issued in their place, and nothing else gets it. If memory is short the pool drops the reserve, and the graphs are
// forgotten.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/cuda/base/device.hpp>
#include <lpw/tensor/replay.hpp>

namespace lpw::inline LPW_ABI {

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

/// Where captured work finds how many steps after the captured one it is replayed for: on the GPU; null outside of a
/// capture.
[[nodiscard]] inline const std::uint32_t* replay_step() {
  auto& state = detail::replay_state();
  return state.capturing ? state.word.data() : nullptr;
}

/// A captured sequence of launches, copies and library calls.
class Graph {
 public:
  /// Captures what work() issues to stream(); nothing of it runs. work may allocate, but not wait for the GPU.
  template <class Work>
  explicit Graph(Work&& work) : drops_(pool().drops()) {
    static_cast<void>(detail::replay_state());  // its memory is not part of a capture
    // Relaxed: the pool may need a block from the driver.
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    Template graph;
    {
      const Capture capture(graph.graph);
      recording_ = std::make_unique<Recording>();
      work();
    }
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph.graph, 0), "cudaGraphInstantiate");
    executable_.reset(executable);
  }

  /// Whether the memory it uses is still reserved for it.
  [[nodiscard]] bool valid() const { return drops_ == pool().drops(); }
  /// Throws CudaError unless it is valid.
  void launch() const {
    require<CudaError>(valid(), "a captured graph was launched after its memory was given to other work");
    check(cudaGraphLaunch(executable_.get(), stream()), "cudaGraphLaunch");
  }

 private:
  /// What was captured, before it is made executable.
  struct Template {
    Template() = default;
    Template(const Template&) = delete;
    Template& operator=(const Template&) = delete;
    ~Template() {
      if (graph) disregard(cudaGraphDestroy(graph));
    }
    cudaGraph_t graph = nullptr;
  };

  /// Ends the capture also where work() throws: the stream is usable again then.
  struct Capture {
    explicit Capture(cudaGraph_t& graph) : graph(graph) { detail::replay_state().capturing = true; }
    ~Capture() {
      detail::replay_state().capturing = false;
      pool().end_recording();
      disregard(cudaStreamEndCapture(stream(), &graph));
    }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    cudaGraph_t& graph;
  };

  struct Destroy {
    void operator()(cudaGraphExec_t executable) const { disregard(cudaGraphExecDestroy(executable)); }
  };

  /// Holds the pool's reserve.
  struct Recording {
    Recording() { pool().begin_recording(); }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    ~Recording() { pool().forget_recording(); }
  };

  std::unique_ptr<Recording> recording_;
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> executable_;
  std::uint64_t drops_;
};

}  // namespace cuda

/// By captured graphs.
template <>
class Replay<Cuda> {
 public:
  /// Has work(step) done, which must not wait for the GPU. From the second call with a key on, work is not called but
  /// for the capture, so it may leave nothing on the host. What depends on the step adds the number at
  /// cuda::replay_step() to it.
  template <class Work>
  void run(const std::string& key, std::uint32_t step, Work&& work) {
    const auto at = std::find_if(recent_.begin(), recent_.end(), [&](const Entry& entry) { return entry.key == key; });
    if (at == recent_.end()) {
      recent_.insert(recent_.begin(), Entry{key});
      if (recent_.size() > kept) recent_.pop_back();
      return issue(work, step);
    }
    std::rotate(recent_.begin(), at, at + 1);
    auto& [name, graph, captured] = recent_.front();
    if (!graph.empty() && !graph.front().valid()) {
      graph.clear();
      return issue(work, step);
    }
    if (graph.empty()) {
      graph.emplace_back([&] { work(step); });
      captured = step;
    }
    fill(cuda::detail::replay_state().word, step - captured);
    graph.front().launch();
  }

 private:
  /// In the memory of the graphs: a step's temporaries are all that it needs, and are gone with it.
  template <class Work>
  static void issue(Work& work, std::uint32_t step) {
    struct Borrowing {
      Borrowing() { cuda::pool().begin_borrowing(); }
      Borrowing(const Borrowing&) = delete;
      Borrowing& operator=(const Borrowing&) = delete;
      ~Borrowing() { cuda::pool().end_borrowing(); }
    };
    const Borrowing borrowing;
    work(step);
  }

  /// Graphs kept: those of an epoch's full and last minibatches in two input buffers each.
  static constexpr std::size_t kept = 4;

  struct Entry {
    std::string key;
    std::vector<cuda::Graph> graph = {};  // empty after the first call, then one
    std::uint32_t captured = 0;           // the step of the capture
  };
  std::vector<Entry> recent_;  // the latest first
};

}  // namespace lpw::inline LPW_ABI
