// Training steps on the GPU, compiled by nvcc apart from the program that measures them: its command line and JSON take
// long enough alone.
#pragma once

#include <string>
#include <vector>

#include "../step_options.hpp"

namespace benchmarks {

/// The GPU's name; empty where there is none.
[[nodiscard]] std::string gpu_name();

struct StepMeasurement {
  std::vector<double> seconds;
  double device_peak_mb;  // what the pool of device memory holds, the graphs' reserve included, at most
};

/// Times steps of a model in fp32, tf32 or bf16, replayed from a graph as the trainer does. Throws OptionError for
/// another model or precision, NonFinite for a loss that is no number.
[[nodiscard]] StepMeasurement measure_step(const StepOptions& options, const StepShape& shape,
                                           const std::string& precision);

}  // namespace benchmarks
