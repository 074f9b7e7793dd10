// The convolutions of a Wide ResNet alone, by oneDNN's direct algorithm: what its training step and its evaluation are
// measured against.
#pragma once

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include <lpw/cpu/conv2d.hpp>

#include "training_step.hpp"

namespace benchmarks {

/// The convolutions of a Wide ResNet for 32x32 images.
[[nodiscard]] inline std::vector<lpw::Conv2dGeometry> convolutions(const lpw::nn::WideResNetOptions& size,
                                                                   std::int64_t images) {
  std::vector<lpw::Conv2dGeometry> list;
  const auto add = [&](std::int64_t in, std::int64_t out, std::int64_t side, std::int64_t kernel, std::int64_t stride) {
    list.push_back({images, side, side, in, out, kernel, kernel, stride, kernel / 2});
  };
  add(3, 16, 32, 3, 1);
  std::int64_t channels = 16, side = 32;
  for (int group = 0; group < 3; ++group)
    for (std::int64_t block = 0; block < (size.depth - 4) / 6; ++block) {
      const std::int64_t out = (std::int64_t{16} << group) * size.widen, stride = group > 0 && block == 0 ? 2 : 1;
      add(channels, out, side, 3, stride);
      if (channels != out || stride != 1) add(channels, out, side, 1, stride);
      side /= stride;
      add(out, out, side, 3, 1);
      channels = out;
    }
  return list;
}

/// All passes of the convolutions, or the forward one alone; weights in oneDNN's favourite layout, memory and
/// primitives ready: nothing but arithmetic is timed.
template <class T>
class BareConvolutions {
 public:
#if LPW_WITH_ONEDNN
  BareConvolutions(const lpw::nn::WideResNetOptions& size, std::int64_t images, bool forward_only) {
    using lpw::onednn::Conv2dPass;
    const auto list = convolutions(size, images);
    for (std::size_t i = 0; i < list.size(); ++i) {
      add(Conv2dPass::forward, list[i], {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
      if (forward_only) continue;
      if (i > 0) add(Conv2dPass::backward_data, list[i], {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST});
      add(Conv2dPass::backward_weight, list[i], {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST});
    }
  }
  /// Whether oneDNN implements all of them for T on this processor.
  [[nodiscard]] bool complete() const { return complete_; }
  void run() const {
    for (const auto& call : calls_) call.plan->convolution.run(call.arguments);
  }

 private:
  struct Call {
    std::shared_ptr<const lpw::onednn::Conv2dPlan> plan;
    std::vector<lpw::Tensor<std::uint8_t, lpw::Cpu>> memory;
    std::unordered_map<int, dnnl::memory> arguments;
  };
  void add(lpw::onednn::Conv2dPass pass, const lpw::Conv2dGeometry& geometry, std::array<int, 3> names) {
    Call call{lpw::onednn::detail::find_conv2d<T>(pass, geometry), {}, {}};
    complete_ = complete_ && call.plan;
    if (!complete_) return;
    const dnnl::memory::desc descs[] = {call.plan->in, call.plan->weight, call.plan->out};
    for (int i = 0; i < 3; ++i) {
      call.memory.push_back(lpw::zeros<std::uint8_t, lpw::Cpu>({static_cast<std::int64_t>(descs[i].get_size())}));
      call.arguments.emplace(names[i], lpw::onednn::memory(descs[i], call.memory.back().data()));
    }
    calls_.push_back(std::move(call));
  }
  std::vector<Call> calls_;
  bool complete_ = true;
#else
  BareConvolutions(const lpw::nn::WideResNetOptions&, std::int64_t, bool) {}
  [[nodiscard]] bool complete() const { return false; }
  void run() const {}
#endif
};

}  // namespace benchmarks
