// A training step (forward, backward, optimizer) of Wide ResNets on the GPU, replayed from a graph as the trainer does.
#include <cstdio>

#include <lpw/cuda/cuda.hpp>

#include "../step_program.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda;

template <class T>
void measure(const StepOptions& options, const StepShape& shape, const std::string& precision, StepReport& report) {
  lpw::cuda::pool().trim();
  lpw::cuda::pool().reset_peak();
  WideResNetStep<T, Cuda> step(shape);
  for (int i = 0; i < 4; ++i) step.run();  // issues, captures, replays
  lpw::cuda::synchronize();
  std::vector<double> times;
  for (const auto start = Clock::now(); more_samples(options, times.size(), start);)
    times.push_back(1.0 / options.steps * seconds([&] {
                      for (int i = 0; i < options.steps; ++i) step.run();
                      lpw::cuda::synchronize();
                    }));
  const auto losses = step.losses();
  for (std::int64_t k = 0; k < losses.size(); ++k)
    lpw::require<lpw::NonFinite>(std::isfinite(losses.data()[k]), "the loss of member ", k, " became ", losses.data()[k]);
  report.add(shape, precision, times, static_cast<double>(lpw::cuda::pool().usage().peak) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  StepOptions options;
  options.models = {"wrn-16-4", "wrn-28-10"};
  options.members = {1, 10};
  options.precisions = {"fp32", "tf32", "bf16"};
  options.steps = 5;
  options.seconds = 1;
  if (const auto status = parse_step_options(options, "Times training steps on the GPU.", argc, argv)) return *status;
  if (!lpw::cuda::available()) {
    std::puts("SKIPPED: there is no NVIDIA GPU here");
    return 77;
  }
  int failures = 0;
  StepReport report("cuda");
  options.for_each_run([&](const StepShape& shape, const std::string& precision) {
    try {
      lpw::cuda::settings().tf32 = precision == "tf32";
      if (precision == "bf16") return measure<lpw::bfloat16>(options, shape, precision, report);
      lpw::require<lpw::OptionError>(precision == "fp32" || precision == "tf32", "--precision ", precision, ": expected fp32, tf32 or bf16");
      measure<float>(options, shape, precision, report);
    } catch (const std::exception& error) {  // the other runs may still work
      std::fprintf(stderr, "bench_cuda_step: %s, %s, K %d: %s\n", shape.model.c_str(), precision.c_str(), static_cast<int>(shape.members), error.what());
      ++failures;
    }
  });
  report.write(options.json);
  return failures > 0;
}
