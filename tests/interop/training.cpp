// Writes what lpw's schedules, averages over time and recomputed statistics are, for training.py to compare with
// PyTorch's:
//   training OUT
// OUT is a safetensors file with a schedule's factors under its text, weights [steps, n] beside their averages after
// each step, and minibatches [batches, B, channels] beside their statistics.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

#include <lpw/io/safetensors.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/averages/make_average.hpp>
#include <lpw/optim/schedule.hpp>

using namespace lpw;

namespace {

constexpr std::int64_t schedule_steps = 60, steps = 20;

[[nodiscard]] Tensor<double, Cpu> normal(const Shape& shape, std::uint32_t draw) {
  Tensor<double, Cpu> result(shape);
  for (std::int64_t i = 0; i < result.size(); ++i)
    result.data()[i] = Philox(3, Stream::test, draw).normal(static_cast<std::uint64_t>(i));
  return result;
}

void add_schedules(io::NamedTensors& tensors) {
  for (const std::string text :
       {"iterations:one-cycle:50:15:0.004:4e-07", "iterations:one-cycle:50:15:0.004:4e-07:linear",
        "iterations:cosine-cycles:12:0.01", "iterations:triangular-cycles:10:0.1:0.01", "iterations:warmup:5",
        "iterations:cosine:60", "iterations:steps:10,30:0.1", "iterations:warmup:5/cosine-cycles:12:0.01"}) {
    const auto schedule = optim::parse_schedule(text, 0.1, 1);
    Tensor<double, Cpu> factors({schedule_steps});
    for (std::int64_t step = 0; step < schedule_steps; ++step)
      factors.data()[step] = optim::factor(schedule, optim::Time{.step = step});
    tensors.add(text, factors);
  }
}

void add_averages(io::NamedTensors& tensors) {
  nn::Initializer init(Philox(1));
  nn::Linear<double, Cpu> network({.in_features = 3, .out_features = 2}, init);
  const auto flat = nn::flatten(network);
  const std::int64_t size = flat->value.base.size();
  optim::WeightAverage swa(network);
  optim::ExponentialAverage ema(network, {.decay = 0.9, .bias_correction = false});
  Tensor<double, Cpu> weights({steps, size}), of_swa({steps, size}), of_ema({steps, size});
  for (std::int64_t step = 0; step < steps; ++step) {
    copy(normal({1, size}, static_cast<std::uint32_t>(step)), flat->value.base);
    const auto keep = [&](const Tensor<double, Cpu>& from, const Tensor<double, Cpu>& in) {
      auto row = in.rows(step, 1);
      copy(from, row);
    };
    swa.update();
    ema.update();
    keep(flat->value.base, weights);
    keep(swa.average().base, of_swa);
    keep(ema.average().base, of_ema);
  }
  tensors.add("weights", weights);
  tensors.add("swa", of_swa);
  tensors.add("ema", of_ema);
}

void add_statistics(io::NamedTensors& tensors) {
  constexpr std::int64_t batches = 5, samples = 8, channels = 4;
  nn::BatchNorm<double, Cpu> norm(channels);
  const auto all = normal({batches, samples, channels}, 100);
  std::vector<Tensor<double, Cpu>> inputs;
  for (std::int64_t b = 0; b < batches; ++b) inputs.push_back(all.rows(b, 1));
  optim::recompute_statistics(norm, inputs);
  tensors.add("batches", all);
  tensors.add("running_mean", norm.running_mean.value().reshaped({channels}));
  tensors.add("running_var", norm.running_var.value().reshaped({channels}));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 2, "usage: training OUT");
    io::Safetensors content;
    add_schedules(content.tensors);
    add_averages(content.tensors);
    add_statistics(content.tensors);
    io::save_safetensors(argv[1], content);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
