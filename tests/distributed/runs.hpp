// Members over processes against the same training in one process, which each process here does as well: what the tests
// of them share. mpirun starts their program: all processes pass the same tests together, so that what one of them must
// not leave is a CHECK.
#pragma once

#include <lpw/distributed/members.hpp>

#include <lpw/autograd/dropout.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "distributed/world.hpp"
#include "support/networks.hpp"

namespace lpw::test {

using distributed::Members;
using optim::BaseGradient;

// Gradients of K members are added up in another order, K terms each: K eps = 1e-15 of them. Batch norms and twenty
// iterations pass that on, the more the higher the rates. A wrong term would show as 1e-3 or more. Optimizers' states
// are gradients, which change by the weights' differences times the loss' curvature: of these networks, 1.6e-13 at
// most.
inline constexpr double tolerance = 1e-12;
inline constexpr std::uint32_t iterations = 20;

inline optim::SgdOptions sgd(double clip = 0, BaseGradient base_gradient = BaseGradient::sum,
                             double learning_rate = 0.02) {
  return {.learning_rate = learning_rate,
          .momentum = 0.9,
          .weight_decay = 5e-4,
          .late = optim::Rates{learning_rate / 2, 5e-3},
          .base_gradient = base_gradient,
          .clip = clip};
}

/// Dropout of images whose parts begin anywhere among the draws, and of features.
struct DroppedOut : SmallNet<double> {
  Variable<double, Cpu> forward(const Variable<double, Cpu>& x) {
    const auto images = dropout(bn1.forward(dropout(conv.forward(dropout(x, 0.1)), 0.3)), 0.2);
    return last.forward(dropout(bn2.forward(relu(hidden.forward(global_average_pool(images)))), 0.25));
  }
};

/// Members of which all are here.
struct AllHere {
  template <class M>
  data::ReadMembers of(M& network) const {
    return nn::members(network);
  }
  template <class M, class F>
  void release(M& network, F&& follower, const ReleaseOptions& options) const {
    lpw::release(network, follower, options);
  }
  template <class M, class X>
  TapeOptions pass(M&, const X&, const distributed::WholeMinibatch& = {}) const {
    return {};
  }
  template <class M>
  void overlap(M&, TapeOptions&) const {}
  template <class M>
  void sum_gradients(M&) const {}
  template <class M, class F>
  void gather(M&, F&&) const {}
  template <class M, class X>
  double mean(M&, const X& values) const {
    return static_cast<double>(mean_rows(values.reshaped({values.size(), 1})).data()[0]);
  }
};

/// What is to be released, when, the iterations of the whole run, and the samples of a minibatch.
struct Release : ReleaseOptions {
  std::uint32_t at = 5, until = iterations;
  std::int64_t batch = 8;
};

/// Minibatches [K, B, ...] as a loader makes them for these members.
template <class T>
Tensor<T, Cpu> read(const Tensor<T, Cpu>& all, const data::ReadMembers& members) {
  const auto whole = all.rows(members.first, members.count);
  if (members.parts == 1) return whole;
  const auto [count, before] = members.samples_of(all.dim(1));
  const Shape sample = all.shape().slice(2, all.shape().rank());
  return whole.reshaped(sample.prepend(all.dim(1))).rows(before, count).reshaped(sample.prepend(count).prepend(1));
}

/// Iterations `from` to `to` of a loop of one's own: as a plain network, and from release.at on as members, which are
/// averaged by SWA then. `chunk` of those here are computed at a time.
template <class M, class Optimizer>
void train_loop(auto& members, M& network, Optimizer& optimizer, optim::WeightAverage<double, Cpu>& average,
                const Release& release, std::uint32_t from, std::uint32_t to, std::int64_t chunk = 0) {
  for (std::uint32_t i = from; i < to; ++i) {
    if (i == release.at) members.release(network, Followers(optimizer, average), release);
    const auto here = members.of(network);
    const Minibatches<double> all(here.all, release.batch, i);
    const auto images = read(all.images, here);
    const auto labels = read(all.labels, here);
    auto options = members.pass(network, images, {.samples = release.batch});
    options.random = Philox(3, Stream::dropout, i);
    for (const auto range : member_chunks(here.count, chunk)) {
      options.members = range;
      if (range.first + range.count == here.count) members.overlap(network, options);
      Tape tape(options);
      const auto x = tape.input(images.rows(range.first, range.count));
      tape.backward(cross_entropy(network.forward(x), labels.rows(range.first, range.count)));
    }
    members.sum_gradients(network);
    optimizer.step();
    if (i >= 10 && i % 3 == 0) average.update();
  }
}

/// What a run leaves: weights and statistics, the optimizer's states and the average, of all members.
template <class State>
struct End {
  State state;
  std::vector<Rows<double>> pairs;
};

template <class M, class Options>
auto end_of_run(auto&& members, M network, const Options& options, const Release& release, std::int64_t chunk = 0) {
  auto optimizer = [&] {
    if constexpr (std::is_same_v<Options, optim::AdamOptions>) {
      return optim::Adam(network, options);
    } else {
      return optim::Sgd(network, options);
    }
  }();
  optim::WeightAverage average(network);
  train_loop(members, network, optimizer, average, release, 0, release.until, chunk);
  members.gather(network, Followers(optimizer, average));
  End<decltype(state_of(network))> end{state_of(network), {}};
  for (auto& state : optimizer.states())
    for (const auto& store : {state.pair.base, state.pair.late}) end.pairs.push_back(rows_of(store));
  for (const auto& store : {average.average().base, average.average().late}) end.pairs.push_back(rows_of(store));
  return end;
}

template <class State>
void check_close(const End<State>& found, const End<State>& expected) {
  Worst weights, states;
  for (const auto& [name, rows] : found.state)
    weights.add(relative_difference(rows.values, expected.state.at(name).values), name);
  for (std::size_t i = 0; i < found.pairs.size(); ++i)
    states.add(relative_difference(found.pairs[i].values, expected.pairs[i].values), to_text("store ", i));
  CHECK(weights < tolerance);
  CHECK(states < tolerance);
}

/// Holds the run over processes to that in one, and to its own bits in a second run, which sums while backward runs.
template <class Make, class Options>
void check_run(Make make, const Options& options, Release release, std::vector<std::int64_t> counts = {4, 7}) {
  for (const std::int64_t count : counts) {
    release.members = count;
    const auto whole = end_of_run(AllHere(), make(), options, release);
    const auto parts =
        end_of_run(Members(mpi(), {.chunk = count == counts.back() ? 0 : 1 << 18}), make(), options, release);
    CAPTURE(mpi().rank(), mpi().size(), count);
    check_close(parts, whole);
    if (count != counts.back()) continue;
    check_close(end_of_run(Members(mpi()), make(), options, release, 1), whole);
    const auto again = end_of_run(Members(mpi(), {.chunk = 37}), make(), options, release);
    CHECK((again.state == parts.state && again.pairs == parts.pairs));
  }
}

inline Release late(const char* selectors) {
  return {{.late = Selectors::parse(selectors), .sigma = 0.2, .random = Philox(5)}};
}

}  // namespace lpw::test
