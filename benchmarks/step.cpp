// A training step (forward, backward, optimizer) of Wide ResNets against the bare time of its own convolutions in oneDNN's direct
// algorithm with weights in oneDNN's favourite layout, measured alternately in one process. Prints one table.
//   step [MODEL ...]   default: wrn-16-2; MODEL is wrn-DEPTH-WIDEN
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/wide_resnet.hpp>
#include <lpw/optim/sgd.hpp>

namespace {

using lpw::Cpu;
using Clock = std::chrono::steady_clock;

template <class F>
double seconds(F&& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

template <class T>
lpw::Tensor<T, Cpu> random_tensor(const lpw::Shape& shape) {
  lpw::Tensor<T, Cpu> tensor(shape);
  const lpw::Philox random(1, lpw::Stream::test);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = T(random.uniform(static_cast<std::uint64_t>(i)) - 0.5f);
  return tensor;
}

/// The convolutions of a Wide ResNet for 32x32 images.
std::vector<lpw::Conv2dGeometry> convolutions(std::int64_t depth, std::int64_t widen, std::int64_t images) {
  std::vector<lpw::Conv2dGeometry> list;
  const auto add = [&](std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t kernel, std::int64_t stride) {
    list.push_back({images, size, size, in, out, kernel, kernel, stride, kernel / 2});
  };
  add(3, 16, 32, 3, 1);
  std::int64_t channels = 16, size = 32;
  for (int group = 0; group < 3; ++group)
    for (std::int64_t block = 0; block < (depth - 4) / 6; ++block) {
      const std::int64_t out = (std::int64_t{16} << group) * widen, stride = group > 0 && block == 0 ? 2 : 1;
      add(channels, out, size, 3, stride);
      if (channels != out || stride != 1) add(channels, out, size, 1, stride);
      size /= stride;
      add(out, out, size, 3, 1);
      channels = out;
    }
  return list;
}

#if LPW_WITH_ONEDNN
/// All passes of the convolutions, memory and primitives ready: nothing but their arithmetic is timed.
template <class T>
class BareConvolutions {
 public:
  explicit BareConvolutions(const std::vector<lpw::Conv2dGeometry>& list) {
    using lpw::onednn::Conv2dPass;
    for (std::size_t i = 0; i < list.size(); ++i) {
      add(Conv2dPass::forward, list[i], {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
      if (i > 0) add(Conv2dPass::backward_data, list[i], {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST});
      add(Conv2dPass::backward_weight, list[i], {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST});
    }
  }
  void run() const {
    for (const auto& call : calls_) call.plan->convolution.run(call.arguments);
  }

 private:
  struct Call {
    std::shared_ptr<const lpw::onednn::Conv2dPlan> plan;
    std::vector<lpw::Tensor<std::uint8_t, Cpu>> memory;
    std::unordered_map<int, dnnl::memory> arguments;
  };
  void add(lpw::onednn::Conv2dPass pass, const lpw::Conv2dGeometry& geometry, std::array<int, 3> names) {
    Call call{lpw::onednn::detail::find_conv2d<T>(pass, geometry), {}, {}};
    lpw::require(call.plan != nullptr, "oneDNN does not implement one of the convolutions");
    const dnnl::memory::desc descs[] = {call.plan->in, call.plan->weight, call.plan->out};
    for (int i = 0; i < 3; ++i) {
      call.memory.push_back(lpw::zeros<std::uint8_t, Cpu>({static_cast<std::int64_t>(descs[i].get_size())}));
      call.arguments.emplace(names[i], lpw::onednn::memory(descs[i], call.memory.back().data()));
    }
    calls_.push_back(std::move(call));
  }
  std::vector<Call> calls_;
};
#endif

template <class T>
class Step {
 public:
  Step(std::int64_t depth, std::int64_t widen, std::int64_t members, std::int64_t batch, std::int64_t chunk)
      : network_({.depth = depth, .widen = widen}, lpw::Philox(1)),
        optimizer_(network_, {.learning_rate = 1e-3}),
        images_(random_tensor<T>({members, batch, 32, 32, 3})),
        labels_(lpw::zeros<std::int32_t, Cpu>({members, batch})),
        chunk_(chunk) {
    if (members > 1) lpw::release(network_, optimizer_, {.members = members});
  }
  void run() {
    for (const auto range : lpw::member_chunks(images_.dim(0), chunk_)) {
      lpw::Tape tape({.members = range});
      const auto labels = labels_.rows(range.first, range.count);
      const auto loss = lpw::cross_entropy(network_.forward(tape.input(images_.rows(range.first, range.count))), labels);
      tape.backward(loss);
    }
    optimizer_.step();
  }

 private:
  lpw::nn::WideResNet<T, Cpu> network_;
  lpw::optim::Sgd<lpw::Accumulate<T>, Cpu> optimizer_;
  lpw::Tensor<T, Cpu> images_;
  lpw::Tensor<std::int32_t, Cpu> labels_;
  std::int64_t chunk_;
};

/// Bytes that backward needs of the forward: the image, the raw input of every batch norm, and nothing else.
std::int64_t activation_floor(std::int64_t depth, std::int64_t widen, std::int64_t images, std::int64_t element) {
  std::int64_t elements = images * 32 * 32 * (3 + 16);
  for (int group = 0; group < 3; ++group) {
    const std::int64_t size = 32 >> group, channels = (std::int64_t{16} << group) * widen;
    elements += (depth - 4) / 6 * 2 * images * size * size * channels;
  }
  return elements * element;
}

template <class T>
void compare(const std::string& precision, std::int64_t depth, std::int64_t widen, std::int64_t members, std::int64_t chunk) {
  const std::int64_t batch = 128, repetitions = members > 1 ? 5 : 11, images = (chunk ? chunk : members) * batch;
  std::vector<double> steps, bare;
  lpw::cpu_pool().trim();
  {
    Step<T> step(depth, widen, members, batch, chunk);
    step.run();
    lpw::cpu_pool().reset_peak();
    step.run();
  }
  const double peak = static_cast<double>(lpw::cpu_pool().usage().peak);
  Step<T> step(depth, widen, members, batch, chunk);
  step.run();
#if LPW_WITH_ONEDNN
  const BareConvolutions<T> convolutions_only(convolutions(depth, widen, images));
  convolutions_only.run();
#endif
  for (std::int64_t i = 0; i < repetitions; ++i) {
    steps.push_back(seconds([&] { step.run(); }));
#if LPW_WITH_ONEDNN
    bare.push_back(seconds([&] {
      for (std::int64_t done = 0; done < members * batch; done += images) convolutions_only.run();
    }));
#endif
  }
  const double step_time = median(steps), floor = static_cast<double>(activation_floor(depth, widen, images, sizeof(T)));
  std::printf("wrn-%lld-%-3lld %-5s K %2lld chunk %2lld  step %8.2f ms  per member %8.2f ms", static_cast<long long>(depth),
              static_cast<long long>(widen), precision.c_str(), static_cast<long long>(members), static_cast<long long>(chunk),
              step_time * 1e3, step_time * 1e3 / static_cast<double>(members));
  if (!bare.empty()) std::printf("  convolutions %8.2f ms  share %.2f", median(bare) * 1e3, median(bare) / step_time);
  std::printf("  peak %7.1f MB  floor %7.1f MB  ratio %.2f\n", peak / 1e6, floor / 1e6, peak / floor);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> models(argv + 1, argv + argc);
  if (models.empty()) models = {"wrn-16-2"};
  std::printf("batch 128 per member, %d threads; medians; share = convolutions / step\n", lpw::max_threads());
  try {
    for (const std::string& model : models) {
      long long depth = 0, widen = 0;
      lpw::require<lpw::OptionError>(std::sscanf(model.c_str(), "wrn-%lld-%lld", &depth, &widen) == 2, model, ": expected wrn-DEPTH-WIDEN");
      compare<float>("fp32", depth, widen, 1, 0);
      compare<float>("fp32", depth, widen, 10, 0);
      compare<float>("fp32", depth, widen, 10, 1);
      compare<lpw::bfloat16>("bf16", depth, widen, 1, 0);
      compare<lpw::bfloat16>("bf16", depth, widen, 10, 0);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step: %s\n", error.what());
    return 1;
  }
}
