// A loop of one's own, for the tests of its state: all that can be forgotten, and small.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/dropout.hpp>
#include <lpw/io/state.hpp>
#include <lpw/optim/averages/make_average.hpp>
#include <lpw/optim/make_optimizer.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::Selectors;
using lpw::data::Place;
using lpw::io::carried;
using lpw::io::load_state;
using lpw::io::save_state;
using nlohmann::json;

/// A small network with dropout before its head.
template <class T>
struct DroppingNet : SmallNet<T> {
  using SmallNet<T>::SmallNet;
  lpw::Variable<T, Cpu> forward(const lpw::Variable<T, Cpu>& x) {
    const auto features = global_average_pool(this->bn1.forward(this->conv.forward(x)));
    return this->last.forward(dropout(this->bn2.forward(relu(this->hidden.forward(features))), 0.3));
  }
};
using Net = DroppingNet<float>;

inline constexpr std::int64_t epochs = 3, iterations = 4, release_step = 5, stop = 7;  // stop: in the middle of epoch 2

/// A loop with all that can be forgotten.
struct Loop {
  Net network;
  std::unique_ptr<lpw::optim::Optimizer<float, Cpu>> optimizer;
  std::unique_ptr<lpw::optim::Average<float, Cpu>> average;
  Place place;
  lpw::Tensor<float, Cpu> memory = lpw::zeros<float, Cpu>({1});
  Selectors late;
  std::int64_t members;

  Loop(const lpw::optim::OptimizerOptions& how, const lpw::optim::AverageOptions& kept, Selectors selectors,
       std::int64_t count)
      : optimizer(make_optimizer(network, how)),
        average(make_average(network, kept)),
        late(std::move(selectors)),
        members(count) {}

  /// Trains up to a step.
  void train_to(std::int64_t last) {
    for (; place.epoch < epochs; place.end_epoch())
      while (place.iteration < iterations) {
        if (place.step == last) return;
        if (place.step == release_step) release();
        step();
      }
  }
  void release() {
    lpw::Followers followers(*optimizer, *average);
    lpw::release(network, followers, {.members = members, .late = late, .sigma = 0.1});
  }
  void step() {
    const Minibatches<float> batches(lpw::nn::members(network), 4, static_cast<std::uint32_t>(place.step));
    const auto losses = accumulate_gradient(network, batches, 0, place.random(3));
    memory.data()[0] = 0.5f * memory.data()[0] + losses[0];
    optimizer->step(1 / (1 + memory.data()[0]));
    average->update();
    place.advance();
  }
  void save(const std::filesystem::path& path) {
    save_state(path, network, *optimizer, *average, place, carried("memory", memory), json{{"best", 0.25}});
  }
  void load(const std::filesystem::path& path) {
    const auto own = load_state(path, network, *optimizer, *average, place, carried("memory", memory));
    CHECK(own == json{{"best", 0.25}});
  }
  /// All that it ends with.
  [[nodiscard]] std::map<std::string, Rows<float>> end() {
    auto state = state_of(network);
    const auto add = [&](const std::string& name, const lpw::Tensor<float, Cpu>& tensor) {
      if (tensor.size() > 0) state.emplace(name, rows_of(tensor));
    };
    for (const auto& [name, pair] : optimizer->states()) add(name + ".base", pair.base), add(name + ".late", pair.late);
    const auto mean = average->average();
    add("average.base", mean.base), add("average.late", mean.late), add("memory", memory);
    return state;
  }
};

inline const std::vector<lpw::optim::OptimizerOptions> optimizers{lpw::optim::SgdOptions{.learning_rate = 0.05},
                                                                  lpw::optim::AdamOptions{.learning_rate = 0.01}};
inline const std::vector<lpw::optim::AverageOptions> averages{
    lpw::optim::SwaOptions(), lpw::optim::EmaOptions{.decay = 0.9, .late_decay = 0.5}, lpw::optim::LatestOptions{3}};

inline Loop small_loop(std::int64_t members = 3) {
  return Loop(optimizers[0], averages[0], Selectors::parse("head"), members);
}

/// A file of a small loop at a step.
inline void save_at(std::int64_t step, const std::filesystem::path& path, std::int64_t members = 3) {
  Loop loop = small_loop(members);
  loop.train_to(step);
  loop.save(path);
}
