#include "step_cuda.hpp"

#include <lpw/cuda/cuda.hpp>

#include "../language_model_step.hpp"

namespace benchmarks {

namespace {

using lpw::Cuda;

template <class Step>
StepMeasurement time_steps(const StepOptions& options, const StepShape& shape) {
  lpw::cuda::pool().trim();
  Step step(shape);
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
    lpw::require<lpw::NonFinite>(std::isfinite(losses.data()[k]), "the loss of member ", k, " became ",
                                 losses.data()[k]);
  return {std::move(times), static_cast<double>(lpw::cuda::pool().usage().held) / 1e6};
}

template <class T>
StepMeasurement measure(const StepOptions& options, const StepShape& shape) {
  if (shape.model == "lstm") return time_steps<LanguageModelStep<T, Cuda>>(options, shape);
  return time_steps<ImageNetworkStep<T, Cuda>>(options, shape);
}

}  // namespace

std::string gpu_name() { return lpw::cuda::available() ? lpw::cuda::device_name() : std::string(); }

StepMeasurement measure_step(const StepOptions& options, const StepShape& shape, const std::string& precision) {
  lpw::cuda::settings().tf32 = precision == "tf32";
  if (precision == "bf16") return measure<lpw::bfloat16>(options, shape);
  lpw::require<lpw::OptionError>(precision == "fp32" || precision == "tf32", "--precision ", precision,
                                 ": expected fp32, tf32 or bf16");
  return measure<float>(options, shape);
}

}  // namespace benchmarks
