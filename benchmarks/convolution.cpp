// Winograd's algorithm against the engine's direct one (oneDNN's, where it is compiled in): the 3x3 convolutions of
// Wide ResNets, float32, both run in turn, so that whatever else the machine does strikes both. GFLOP/s are by the
// direct count; `ratio` is of the medians, `best_ratio` of the shortest times.
//   convolution --benchmark_filter=wrn-16-2
#include <benchmark/benchmark.h>

#include <lpw/cpu/conv2d.hpp>

#include "measure.hpp"

namespace {

using namespace benchmarks;
using lpw::Cpu;

struct Layer {
  const char* model;
  std::int64_t size, channels, out_channels, stride = 1;

  [[nodiscard]] std::int64_t out_size() const { return size / stride; }
};

constexpr Layer layers[] = {
    {"wrn-16-2", 32, 16, 32},       {"wrn-16-2", 32, 32, 32},       {"wrn-16-2", 16, 64, 64},
    {"wrn-16-2", 8, 128, 128},      {"wrn-16-4", 32, 16, 64},       {"wrn-16-4", 32, 64, 64},
    {"wrn-16-4", 16, 128, 128},     {"wrn-16-4", 8, 256, 256},      {"wrn-28-10", 32, 160, 160},
    {"wrn-28-10", 16, 320, 320},    {"wrn-28-10", 8, 640, 640},     {"wrn-16-2", 32, 32, 64, 2},
    {"wrn-16-2", 16, 64, 128, 2},   {"wrn-16-4", 32, 64, 128, 2},   {"wrn-16-4", 16, 128, 256, 2},
    {"wrn-28-10", 32, 160, 320, 2}, {"wrn-28-10", 16, 320, 640, 2}, {"wrn-10-1", 32, 16, 16},
    {"wrn-10-1", 32, 16, 32, 2},    {"wrn-10-1", 16, 32, 64, 2},
};

enum class Pass { forward, backward_data, backward_weight };

/// One pass of a layer over a batch.
class Convolution {
 public:
  Convolution(const Layer& layer, Pass pass, std::int64_t batch)
      : pass_(pass),
        options_{.stride = layer.stride, .padding = 1},
        x_{random_tensor<float>({1, batch, layer.size, layer.size, layer.channels}, 1)},
        weight_(random_tensor<float>({1, layer.out_channels, 3, 3, layer.channels}, 2)),
        y_(random_tensor<float>({1, batch, layer.out_size(), layer.out_size(), layer.out_channels}, 3)),
        dx_{lpw::zeros<float, Cpu>(x_.shape())},
        dweight_{lpw::zeros<float, Cpu>(weight_.shape())} {}

  /// Seconds of one run.
  [[nodiscard]] double run(lpw::Convolution algorithm) {
    lpw::convolution() = algorithm;
    return seconds([&] {
      if (pass_ == Pass::forward) benchmark::DoNotOptimize(lpw::conv2d_forward(x_, weight_, options_));
      if (pass_ == Pass::backward_data) lpw::conv2d_backward_data(y_, weight_, options_, dx_);
      if (pass_ == Pass::backward_weight) lpw::conv2d_backward_weight(x_, y_, options_, dweight_);
    });
  }
  [[nodiscard]] double operations() const {
    return 2.0 * 9 * static_cast<double>(y_.size()) * static_cast<double>(x_.shape()[-1]);
  }

 private:
  Pass pass_;
  lpw::Conv2dOptions options_;
  lpw::Activation<float, Cpu> x_;
  lpw::Tensor<float, Cpu> weight_, y_;
  lpw::Gradient<float, Cpu> dx_, dweight_;
};

void compare(benchmark::State& state, const Layer& layer, Pass pass, std::int64_t batch) {
  Convolution convolution(layer, pass, batch);
  std::vector<double> winograd, direct;
  for (const auto algorithm : {lpw::Convolution::winograd, lpw::Convolution::direct}) (void)convolution.run(algorithm);
  for ([[maybe_unused]] const auto _ : state) {
    winograd.push_back(convolution.run(lpw::Convolution::winograd));
    direct.push_back(convolution.run(lpw::Convolution::direct));
    state.SetIterationTime(winograd.back() + direct.back());
  }
  state.counters["winograd"] = convolution.operations() / median(winograd) * 1e-9;
  state.counters["direct"] = convolution.operations() / median(direct) * 1e-9;
  state.counters["ratio"] = median(direct) / median(winograd);
  state.counters["best_ratio"] = quantile(direct, 0) / quantile(winograd, 0);
}

const bool registered = [] {
  constexpr std::pair<const char*, Pass> passes[] = {
      {"forward", Pass::forward}, {"backward_data", Pass::backward_data}, {"backward_weight", Pass::backward_weight}};
  for (const Layer& layer : layers)
    for (const std::int64_t batch : {64, 128})
      for (const auto& [name, pass] : passes) {
        const auto title = lpw::to_text(layer.model, '/', layer.channels, "->", layer.out_channels, '@', layer.size,
                                        layer.stride > 1 ? "/strided" : "", "/batch:", batch, '/', name);
        benchmark::RegisterBenchmark(
            title.c_str(),
            [&layer, pass = pass, batch](benchmark::State& state) { compare(state, layer, pass, batch); })
            ->UseManualTime()
            ->MinTime(0.1)
            ->Unit(benchmark::kMillisecond);
      }
  return true;
}();

}  // namespace
