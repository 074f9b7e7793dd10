// A training step (forward, backward, optimizer) on the CPU, or the evaluation of a plain network. Those of Wide
// ResNets stand beside the bare time of their own convolutions in oneDNN's direct algorithm, that of the LSTM beside
// the bare time of its matrix products, measured alternately in one process.
#include <cstdio>
#include <functional>
#include <memory>

#include "bare_convolutions.hpp"
#include "language_model_step.hpp"
#include "step_program.hpp"

namespace {

using namespace benchmarks;
using lpw::Cpu;

/// What the pool hands out in a steady step, at most, in MB: samples, weights, their gradients and momenta,
/// activations.
template <class Step>
double pool_peak_mb(Step& step) {
  step.run();
  lpw::cpu_pool().reset_peak();
  step.run();
  return static_cast<double>(lpw::cpu_pool().usage().peak) / 1e6;
}

struct Times {
  std::vector<double> steps, bare;
};

/// Work beside a step; empty: none.
using Bare = std::function<void()>;

/// Measures steps and, in turn with them, the bare work of as many members.
template <class Step>
Times alternate(const StepOptions& options, const StepShape& shape, Step& step, const Bare& bare) {
  Times times;
  const auto run_bare = [&] {
    for (std::int64_t done = 0; done < shape.members; done += shape.members_at_once()) bare();
  };
  if (bare) run_bare();
  for (const auto start = Clock::now(); more_samples(options, times.steps.size(), start);) {
    times.steps.push_back(1.0 / options.steps * seconds([&] {
                            for (int i = 0; i < options.steps; ++i) step.run();
                          }));
    if (bare) times.bare.push_back(seconds(run_bare));
  }
  return times;
}

/// The step's convolutions or matrix products of T.
template <class T>
[[nodiscard]] Bare bare_work(const StepShape& shape) {
  if (shape.model == "lstm") return [products = std::make_shared<BareProducts<T>>(shape)] { products->run(); };
  const auto wide = wide_resnet_options(network_of(shape.model));
  if (!wide) return {};
  const auto convolutions =
      std::make_shared<BareConvolutions<T>>(*wide, shape.images_at_once(), evaluates(shape.model));
  if (!convolutions->complete()) return {};
  return [convolutions] { convolutions->run(); };
}

/// The same in the type in which T is multiplied here.
template <class T>
[[nodiscard]] Bare fastest_bare_work(const StepShape& shape) {
  if (!lpw::multiplies_bfloat16()) return bare_work<float>(shape);
  return bare_work<T>(shape);
}

template <class T, class Step>
void measure(const StepOptions& options, const StepShape& shape, const std::string& precision, StepReport& report,
             nlohmann::ordered_json more = nlohmann::ordered_json::object()) {
  lpw::cpu_pool().trim();
  Step step(shape);
  more["pool_peak_mb"] = pool_peak_mb(step);
  const Bare bare =
      options.step_only ? Bare() : fastest_bare_work<T>(shape);  // made after the step's own memory was measured
  const Times times = alternate(options, shape, step, bare);
  if (bare) more["bare_ms"] = median(times.bare) * 1e3;
  report.add(shape, precision, times.steps, more);
}

template <class T>
void measure(const StepOptions& options, const StepShape& shape, const std::string& precision, StepReport& report) {
  if (shape.model == "lstm") return measure<T, LanguageModelStep<T, Cpu>>(options, shape, precision, report);
  if (evaluates(shape.model)) return measure<T, ImageNetworkEvaluation<T, Cpu>>(options, shape, precision, report);
  nlohmann::ordered_json more = nlohmann::ordered_json::object();
  if (const auto wide = wide_resnet_options(shape.model))
    more["activation_floor_mb"] = static_cast<double>(activation_floor(*wide, shape, sizeof(T))) / 1e6;
  measure<T, ImageNetworkStep<T, Cpu>>(options, shape, precision, report, more);
}

}  // namespace

int main(int argc, char** argv) {
  StepOptions options;
  if (const auto status = parse_step_options(
          options, "Times training steps, or the evaluation of plain networks, on the CPU.", argc, argv))
    return *status;
  try {
    StepReport report("cpu", options);
    options.for_each_run([&](const StepShape& shape, const std::string& precision) {
      lpw::require<lpw::OptionError>(precision == "fp32" || precision == "bf16", "--precision ", precision,
                                     ": expected fp32 or bf16");
      if (!report.has_time(shape, precision)) return;
      if (precision == "fp32") {
        measure<float>(options, shape, precision, report);
      } else {
        measure<lpw::bfloat16>(options, shape, precision, report);
      }
    });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_step: %s\n", error.what());
    return 1;
  }
}
