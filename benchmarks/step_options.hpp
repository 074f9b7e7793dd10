// What the programs that time training steps are asked for.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "measure.hpp"

namespace benchmarks {

/// Whether a model's name stands for the forward pass of a plain network in evaluation mode, in place of a training
/// step.
[[nodiscard]] inline bool evaluates(const std::string& model) { return model.ends_with("-eval"); }

/// The model whose step or evaluation it is.
[[nodiscard]] inline std::string network_of(const std::string& model) {
  return evaluates(model) ? model.substr(0, model.rfind('-')) : model;
}

/// Whether a network is for images of 32x32 in ten classes, in place of ImageNet's.
[[nodiscard]] inline bool is_for_small_images(const std::string& model) {
  const auto name = network_of(model);
  return name.find("wrn-") != std::string::npos || name.ends_with("-cifar");
}

[[nodiscard]] inline std::int64_t side_of(const std::string& model) { return is_for_small_images(model) ? 32 : 224; }
[[nodiscard]] inline std::int64_t classes_of(const std::string& model) {
  return is_for_small_images(model) ? 10 : 1000;
}

/// Samples of a member, unless the caller says otherwise.
[[nodiscard]] inline std::int64_t usual_batch(const std::string& model) {
  if (model == "lstm") return 20;
  return is_for_small_images(model) ? 128 : 32;
}

struct StepShape {
  std::string model;                                 // one of the catalogue's, the same and -eval, or lstm
  std::int64_t members = 1, batch = 128, chunk = 0;  // batch: per member; chunk: members at a time, 0: all
  std::string late = {};                             // late-phase weights; empty: the model's usual ones

  [[nodiscard]] std::int64_t members_at_once() const { return chunk ? chunk : members; }
  [[nodiscard]] std::int64_t images_at_once() const { return members_at_once() * batch; }
};

struct StepOptions {
  std::vector<std::string> models = {"wrn-16-2"}, precisions = {"fp32", "bf16"};
  std::vector<std::int64_t> members = {1, 4, 10}, chunks = {0};
  std::int64_t batch = 0;  // 0: the model's usual one
  int samples = 0,
      steps = 1;  // samples are medians' values, each the mean of `steps` steps; 0: as many as a few seconds hold
  double seconds = 5;
  double limit = 0;  // seconds after which no run begins; 0: none
  bool step_only = false;
  std::string late;  // late-phase weights; empty: each model's usual ones
  std::string json;

  /// Calls f(shape, precision) for every combination; members in chunks only where there are several, a plain network
  /// has one.
  template <class F>
  void for_each_run(F&& f) const {
    for (const auto& model : models)
      for (const auto& precision : precisions)
        for (const auto k : evaluates(model) ? std::vector<std::int64_t>{1} : members)
          for (const auto chunk : chunks)
            if (chunk < k || chunk == 0)
              f(StepShape{model, k, batch ? batch : usual_batch(model), chunk, late}, precision);
  }
};

/// Whether another measurement is due after those taken, which began at `start`.
[[nodiscard]] inline bool more_samples(const StepOptions& options, std::size_t taken, Clock::time_point start) {
  if (options.samples > 0) return taken < static_cast<std::size_t>(options.samples);
  return taken < 3 || std::chrono::duration<double>(Clock::now() - start).count() < options.seconds;
}

}  // namespace benchmarks
