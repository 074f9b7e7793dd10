// A training step (forward, backward, optimizer) on the GPU, replayed from a graph as the trainer does.
#include <cstdio>
#include <exception>

#include "../step_program.hpp"
#include "step_cuda.hpp"

namespace {

using namespace benchmarks;

/// Whether it was measured. Other runs may still work where one does not.
bool measure(const StepOptions& options, const StepShape& shape, const std::string& precision, const std::string& gpu,
             StepReport& report) {
  try {
    const StepMeasurement found = measure_step(options, shape, precision);
    report.add(shape, precision, found.seconds, {{"gpu", gpu}, {"device_peak_mb", found.device_peak_mb}});
    return true;
  } catch (const std::exception& error) {
    report.add_missing(shape, precision, error.what());
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  StepOptions options;
  options.models = {"wrn-16-4", "wrn-28-10"};
  options.members = {1, 10};
  options.precisions = {"tf32", "bf16"};
  options.steps = 5;
  options.seconds = 1;
  if (const auto status = parse_step_options(options, "Times training steps on the GPU.", argc, argv)) return *status;
  const std::string gpu = gpu_name();
  if (gpu.empty()) {
    std::puts("SKIPPED: there is no NVIDIA GPU here");
    return 77;
  }
  try {
    int failures = 0;
    StepReport report("cuda", options);
    options.for_each_run([&](const StepShape& shape, const std::string& precision) {
      if (report.has_time(shape, precision)) failures += !measure(options, shape, precision, gpu, report);
    });
    return failures > 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_cuda_step: %s\n", error.what());
    return 1;
  }
}
