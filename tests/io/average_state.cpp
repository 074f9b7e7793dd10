// Averages and best candidates in checkpoints: back bit for bit at any place of a cycle, and refused where damaged.
#include <lpw/io/average_state.hpp>

#include <cmath>

#include <lpw/io/checkpoint.hpp>
#include <lpw/optim/averages/make_average.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::io::add_average;
using lpw::io::add_best;
using lpw::io::add_pair;
using lpw::io::get_average;
using lpw::io::get_best;
using lpw::io::get_pair;
using lpw::io::NamedTensors;
using lpw::optim::AverageOptions;
using lpw::optim::BestWeights;
using lpw::optim::Candidate;
using lpw::optim::EmaOptions;
using lpw::optim::LatestOptions;
using lpw::optim::make_average;
using lpw::optim::SwaOptions;

namespace {

/// The same tensors but for one, which is changed.
template <class T>
NamedTensors with_tensor(const NamedTensors& tensors, const std::string& name, const lpw::Tensor<T, Cpu>& value) {
  NamedTensors result("checkpoint.lpw");
  for (const auto& tensor : tensors)
    if (tensor.name != name) result.add(tensor);
  result.add(name, value);
  return result;
}

lpw::Tensor<std::int64_t, Cpu> counts_of(std::int64_t updates, std::int64_t late) {
  const std::int64_t values[] = {updates, late};
  return lpw::tensor_of<std::int64_t>({2}, values);
}

const std::vector<AverageOptions> average_kinds = {SwaOptions(), EmaOptions{.decay = 0.9, .late_decay = 0.5},
                                                   LatestOptions{3}};

}  // namespace

TEST_CASE("average state: training that goes on from a checkpoint leaves the same average bit for bit",
          "[average_state]") {
  const auto& options = average_kinds[static_cast<std::size_t>(GENERATE(0, 1, 2))];
  const int stop = GENERATE(1, 2, 3, 5);
  CAPTURE(options.index(), stop);
  const TemporaryFolder folder;
  SmallNet<double> network, other;
  lpw::optim::Sgd optimizer(network);
  const auto average = make_average(network, options);
  train(network, optimizer, 1);
  average->update();
  lpw::release(network, lpw::Followers(optimizer, *average), {.members = 2, .late = Group::rank_one, .sigma = 0.2});
  const auto steps = [](SmallNet<double>& net, lpw::optim::Sgd<double, Cpu>& sgd, lpw::optim::Average<double, Cpu>& avg,
                        int count, std::uint32_t first) {
    for (int i = 0; i < count; ++i) {
      train(net, sgd, 1, first + static_cast<std::uint32_t>(i));
      avg.update();
    }
  };
  steps(network, optimizer, *average, stop, 10);
  lpw::io::Checkpoint checkpoint{{}, NamedTensors("checkpoint")};
  add_average(checkpoint.tensors, "ema", *average);
  add_pair(checkpoint.tensors, "weights", lpw::nn::flatten(network)->value);
  add_pair(checkpoint.tensors, "velocity", optimizer.velocity());
  lpw::io::save_checkpoint(folder / "c", checkpoint);
  steps(network, optimizer, *average, 4, 50);

  lpw::release(other, {.members = 2, .late = Group::rank_one});
  lpw::optim::Sgd resumed(other);
  const auto loaded = make_average(other, options);
  const auto stored = lpw::io::load_checkpoint(folder / "c");
  get_pair(stored.tensors, "weights", lpw::nn::flatten(other)->value);
  get_pair(stored.tensors, "velocity", resumed.velocity());
  get_average(stored.tensors, "ema", *loaded);
  steps(other, resumed, *loaded, 4, 50);
  CHECK(same_bits(loaded->average().base, average->average().base));
  CHECK(same_bits(loaded->average().late, average->average().late));
  CHECK(loaded->counts() == average->counts());
}

TEST_CASE("average state: counts, shapes and names that cannot be are refused", "[average_state]") {
  SmallNet<double> network;
  const auto average = make_average(network, LatestOptions{3});
  average->update();
  NamedTensors tensors("checkpoint.lpw");
  add_average(tensors, "lawa", *average);
  const auto refusal = [&](const NamedTensors& damaged) {
    const auto fresh = make_average(network, LatestOptions{3});
    const auto message = message_of<lpw::FileError>([&] { get_average(damaged, "lawa", *fresh); });
    CHECK(fresh->updates() == 0);
    return message;
  };
  CHECK_NOTHROW(get_average(tensors, "lawa", *make_average(network, LatestOptions{3})));
  CHECK(refusal(with_tensor(tensors, "lawa.counts", counts_of(-1, 0))) ==
        "checkpoint.lpw: tensor 'lawa.counts' says -1 updates, of which 0 were of late-phase weights; expected 0 <= "
        "late-phase ones <= all");
  for (const auto& [updates, late] : {std::pair{2, 3}, {1, -1}})
    CHECK(
        contains(refusal(with_tensor(tensors, "lawa.counts", counts_of(updates, late))), "tensor 'lawa.counts' says"));
  CHECK(refusal(with_tensor(tensors, "lawa.counts", lpw::full<double, Cpu>({2}, 1.0))) ==
        "checkpoint.lpw: tensor 'lawa.counts' is F64 [2], expected I64 [2]");
  CHECK(refusal(with_tensor(tensors, "lawa.recent_2.base", lpw::full<double, Cpu>({1, 2}, 1.0)))
            .starts_with("checkpoint.lpw: tensor 'lawa.recent_2.base' is F64 [1 2], expected F64 [1 "));
  const auto longer = make_average(network, LatestOptions{4});
  CHECK(message_of<lpw::FileError>([&] {
          get_average(tensors, "lawa", *longer);
        }).starts_with("checkpoint.lpw: has no tensor 'lawa.recent_4.base'"));
}

TEST_CASE("average state: the best candidate goes on from a checkpoint, or from none", "[average_state]") {
  SmallNet<double> network, like;
  lpw::optim::Sgd optimizer(network);
  BestWeights<double, Cpu> best, resumed, none;
  NamedTensors empty("checkpoint.lpw"), tensors("checkpoint.lpw");
  add_best(empty, "best", best);
  CHECK(empty.size() == 0);
  get_best(empty, "best", like, none);
  CHECK_FALSE(none.candidate());

  train(network, optimizer, 2);
  const auto expected = state_of(network);
  best.offer("epoch 2 (\u03b3)", 0.75, network);
  add_best(tensors, "best", best);
  get_best(tensors, "best", like, resumed);
  CHECK(resumed.candidate() == Candidate{"epoch 2 (\u03b3)", 0.75});
  CHECK_FALSE(resumed.offer("worse", 0.74, network));
  resumed.apply(like);
  CHECK(state_of(like) == expected);

  const auto refusal = [&](const NamedTensors& damaged) {
    BestWeights<double, Cpu> fresh;
    const auto message = message_of<lpw::FileError>([&] { get_best(damaged, "best", like, fresh); });
    CHECK_FALSE(fresh.candidate());
    return message;
  };
  CHECK(refusal(with_tensor(tensors, "best.score", lpw::full<double, Cpu>({1}, std::nan("")))) ==
        "checkpoint.lpw: tensor 'best.score' is NaN, which is never the best");
  CHECK(refusal(with_tensor(tensors, "best.name", lpw::full<float, Cpu>({1}, 1.f))) ==
        "checkpoint.lpw: tensor 'best.name' is F32 [1], expected a text in U8");
  CHECK(refusal(with_tensor(tensors, "best.late", lpw::full<double, Cpu>({2, 1}, 1.0)))
            .starts_with("checkpoint.lpw: tensor 'best.late' is F64 [2 1], expected F64 "));
  CHECK(refusal(with_tensor(tensors, "best.buffers", lpw::full<double, Cpu>({1, 1}, 1.0)))
            .starts_with("checkpoint.lpw: tensor 'best.buffers' is F64 [1 1], expected F64 "));
}
