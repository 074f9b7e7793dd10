// Which of cuDNN's algorithms a pass of a convolution takes.
//
// On an H200 an algorithm's first run takes 10 to 80 ms more, since its kernels are then loaded, and some algorithms
// take a second. cuDNN's own search runs these to their end, and under a profiler chose by first runs. So the choice is
// made here: in the order of cuDNN's guess every algorithm runs once and is then timed, and of those after the first
// some of the images tell whether it is worth running at all.
#pragma once

#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include <lpw/cuda/base/cudnn.hpp>
#include <lpw/cuda/base/pinned.hpp>

namespace lpw::inline LPW_ABI::cuda {

namespace detail {

/// Memory for trials: not from the pool, which would keep a block of this size for good, but what the pool keeps unused
/// and graphs' reserve are returned if there is no other. Null if there is none at all.
class TrialWorkspace {
 public:
  explicit TrialWorkspace(std::size_t bytes) : scratch_{nullptr, bytes} {
    if (bytes == 0) return;
    scratch_.data = DeviceMemory::allocate(bytes, 0);
    if (!scratch_.data) {
      synchronize();
      pool().drop_reserve();
      pool().trim();
      scratch_.data = DeviceMemory::allocate(bytes, 0);
    }
  }
  ~TrialWorkspace() { DeviceMemory::release(scratch_.data); }
  TrialWorkspace(const TrialWorkspace&) = delete;
  TrialWorkspace& operator=(const TrialWorkspace&) = delete;

  [[nodiscard]] bool there() const { return scratch_.data || scratch_.bytes == 0; }
  [[nodiscard]] Scratch scratch() const { return scratch_; }

 private:
  Scratch scratch_;
};

/// The search for the algorithm of one pass over one geometry.
template <class Pass>
class AlgorithmSearch {
 public:
  using Offer = typename Pass::Found;

  /// In plain float tensor cores must not be used. `operands` are read, and the pass' output is overwritten.
  AlgorithmSearch(const Conv2dGeometry& g, cudnnDataType_t type, bool plain_float, const ConvolutionOperands& operands)
      : plain_float_(plain_float), operands_(operands), plan_(plan_of(g, type)), share_(share_of(g.images)) {
    if (share_ < 1) few_.emplace(plan_of(fewer_images(g), type));
  }

  /// The fastest algorithm, or if runs must repeat, the first that runs of those whose results do; none if none runs
  /// within the workspace. Throws OutOfMemory.
  [[nodiscard]] std::optional<ConvolutionPlan<Pass>> find() {
    std::optional<Offer> best;
    float least = 0;
    for (const Offer& offer : offers()) {
      if (best && far_slower(offer, least)) continue;
      const auto time = take(plan_, offer) ? milliseconds(plan_) : std::nullopt;
      if (!time || (best && *time >= least)) continue;
      best = offer;
      least = *time;
      if (settings().deterministic) break;
    }
    if (!best && short_of_memory_) fail_memory(Pass::name, Place::current());
    if (!best || !take(plan_, *best)) return std::nullopt;
    return std::move(plan_);
  }

 private:
  static constexpr std::int64_t few_of = 16;        // images are tried on this part of them,
  static constexpr float far = 10, notable = 0.5f;  // and left alone from so many times the best, and milliseconds, on

  [[nodiscard]] ConvolutionPlan<Pass> plan_of(const Conv2dGeometry& g, cudnnDataType_t type) const {
    return {ConvolutionDescriptors(g, type, plain_float_ ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH)};
  }
  [[nodiscard]] static Conv2dGeometry fewer_images(Conv2dGeometry g) {
    g.images /= few_of;
    return g;
  }
  [[nodiscard]] static float share_of(std::int64_t images) {
    const std::int64_t few = images / few_of;
    return few > 1 ? static_cast<float>(few) / static_cast<float>(images) : 1.f;
  }

  /// What cuDNN offers of what may be used, as it guesses the best first.
  [[nodiscard]] std::vector<Offer> offers() const {
    std::vector<Offer> found(16);
    int count = 0;
    check(Pass::rank(plan_.descriptors, static_cast<int>(found.size()), &count, found.data()), Pass::name);
    found.resize(static_cast<std::size_t>(count));
    std::erase_if(found, [&](const Offer& offer) { return !allowed(offer); });
    return found;
  }
  [[nodiscard]] bool allowed(const Offer& offer) const {
    if (offer.status != CUDNN_STATUS_SUCCESS) return false;
    if (settings().deterministic && offer.determinism != CUDNN_DETERMINISTIC) return false;
    return !plain_float_ || offer.mathType == CUDNN_FMA_MATH || offer.mathType == CUDNN_DEFAULT_MATH;
  }

  /// Whether a plan can be of what cuDNN offered. The workspace may differ from the offer's, which was for the offer's
  /// own kind of arithmetic.
  [[nodiscard]] bool take(ConvolutionPlan<Pass>& plan, const Offer& offer) {
    plan.algorithm = offer.algo;
    check(cudnnSetConvolutionMathType(plan.descriptors.convolution, plain_float_ ? CUDNN_FMA_MATH : offer.mathType),
          "cudnnSetConvolutionMathType");
    if (Pass::workspace(plan.descriptors, plan.algorithm, &plan.workspace) != CUDNN_STATUS_SUCCESS) return false;
    if (plan.workspace == 0) return true;
    if (plan.workspace > most_workspace()) return false;
    const bool there = plan.workspace <= free_workspace();
    short_of_memory_ = short_of_memory_ || !there;
    return there;
  }

  /// No more than an eighth of the GPU's memory.
  [[nodiscard]] static std::size_t most_workspace() {
    static const std::size_t share = device_memory().total / 8;
    return std::min(settings().convolution_workspace, share);
  }
  /// Half of what is free, which the rest of a step needs too; but a shortage must not decide which bits come out of
  /// runs that are to repeat.
  [[nodiscard]] static std::size_t free_workspace() {
    if (settings().deterministic) return most_workspace();
    if (device_memory().free / 2 < most_workspace()) {
      synchronize();
      pool().trim();
    }
    return device_memory().free / 2;
  }

  [[nodiscard]] bool far_slower(const Offer& offer, float least) {
    if (!few_ || !take(*few_, offer)) return false;
    const auto time = milliseconds(*few_);
    return time && *time > notable && *time > far * least * share_;
  }

  /// What a run takes once it has run before; none if it does not run.
  [[nodiscard]] std::optional<float> milliseconds(const ConvolutionPlan<Pass>& plan) {
    const TrialWorkspace workspace(plan.workspace);
    if (!workspace.there()) {
      // A shortage must not decide which bits come out.
      if (settings().deterministic) fail_memory(Pass::name, Place::current());
      short_of_memory_ = true;
      return std::nullopt;
    }
    std::optional<float> least;
    for (int run = 0; run < 3; ++run) {
      start_.record(stream());
      const cudnnStatus_t status = plan.run(operands_, workspace.scratch());
      stop_.record(stream());
      if (status != CUDNN_STATUS_SUCCESS) {
        const bool shortage = status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
        if (shortage && settings().deterministic) check(status, Pass::name);
        short_of_memory_ = short_of_memory_ || shortage;
        static_cast<void>(cudaGetLastError());  // of what refused
        return std::nullopt;
      }
      const float time = stop_.milliseconds_since(start_);
      if (run > 0) least = std::min(time, least.value_or(time));
    }
    return least;
  }

  bool plain_float_;
  ConvolutionOperands operands_;
  ConvolutionPlan<Pass> plan_;
  std::optional<ConvolutionPlan<Pass>> few_;
  float share_;  // of the images that few_ has
  TimingEvent start_, stop_;
  bool short_of_memory_ = false;
};

template <class Pass, class T>
[[nodiscard]] ConvolutionPlan<Pass> plan_convolution(const Conv2dGeometry& g, ConvolutionOperands operands,
                                                     std::int64_t output_size) {
  const bool plain_float = std::is_same_v<T, float> && !settings().tf32;
  const Tensor<T, Cuda> result({output_size});  // trials overwrite the result, which may be wanted
  (Pass::output == Operand::x   ? operands.x
   : Pass::output == Operand::w ? operands.w
                                : operands.y) = const_cast<T*>(result.data());
  if (auto plan = AlgorithmSearch<Pass>(g, dnn_type<T>, plain_float, operands).find()) return std::move(*plan);
  fail<CudaError>(
      Pass::name, ": cuDNN has no algorithm for ", describe(g), " in ", dtype_name<T>(),
      settings().deterministic ? " that is deterministic; leave out `deterministic`" : "; try another precision");
}

}  // namespace detail

/// Runs one pass of a convolution of tensors at the operands' addresses; `output_size` elements are written, or added
/// to.
template <class Pass, class T>
void convolve(const Conv2dGeometry& g, const detail::ConvolutionOperands& operands, std::int64_t output_size,
              bool accumulate, const Place& place = Place::current()) {
  const std::int64_t elements = g.images * std::max(g.in_size(), g.out_size());
  constexpr std::int64_t most = (std::int64_t{1} << 31) - 1;  // cuDNN counts in 32 bits
  require<ShapeError>(elements <= most, "conv2d: ", elements, " elements in one convolution; on the GPU there may be ",
                      most, ", so lower `member_chunk` or take a smaller batch");
  using Key = std::tuple<Conv2dGeometry::Numbers, bool, bool>;  // T is the function's own
  static auto& plans = *new std::map<Key, detail::ConvolutionPlan<Pass>>;
  const Key key{g.numbers(), settings().tf32, settings().deterministic};
  auto at = plans.find(key);
  if (at == plans.end()) at = plans.emplace(key, detail::plan_convolution<Pass, T>(g, operands, output_size)).first;
  const auto& plan = at->second;
  const detail::Scratch workspace{detail::convolution_workspace(plan.workspace), plan.workspace};
  detail::check(plan.run(operands, workspace, accumulate), Pass::name, place);
}

}  // namespace lpw::inline LPW_ABI::cuda
