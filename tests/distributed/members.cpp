// Members over processes: what is released, how they step, and what is done with them.
#include "distributed/runs.hpp"

#include <array>
#include <atomic>

#include <lpw/data/loader.hpp>
#include <lpw/io/state.hpp>
#include <lpw/late_phase/coupling.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/nn/group_norm.hpp>
#include <lpw/optim/sam.hpp>

#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace {

/// Group norm over images, layer norm over features, and parameters of a group of one's own, beside a batch norm.
struct OtherNorms : SmallNet<double> {
  OtherNorms() {
    hidden.bias->set_group(lpw::own_group(3));
    conv.weight.set_group(lpw::own_group(15));
  }
  lpw::Variable<double, Cpu> forward(const lpw::Variable<double, Cpu>& x) {
    const auto features = lpw::global_average_pool(images.forward(bn1.forward(conv.forward(x))));
    return last.forward(layer.forward(hidden.forward(features)));
  }
  template <class F>
  void visit(F&& f) {
    f("conv", conv), f("bn1", bn1), f("images", images), f("hidden", hidden), f("layer", layer), f("last", last);
  }
  lpw::nn::GroupNorm<double, Cpu> images{1, 5};
  lpw::nn::LayerNorm<double, Cpu> layer{6};
};

/// Of which it is counted how often each is read.
class CountedImages final : public lpw::data::ImageSource {
 public:
  void read(std::int64_t i, const lpw::data::CropDraw*, std::uint8_t* out) const override {
    std::fill_n(out, 12, static_cast<std::uint8_t>(i));
    ++counts_[lpw::to_size(i)];
  }
  [[nodiscard]] std::string name(std::int64_t) const override { return "an image"; }
  /// The counts since the last call.
  [[nodiscard]] std::vector<double> taken() {
    std::vector<double> counts;
    for (auto& count : counts_) counts.push_back(count.exchange(0));
    return counts;
  }

 private:
  mutable std::array<std::atomic<int>, 60> counts_{};
};

}  // namespace

TEST_CASE("members over processes train as in one, whatever is released") {
  const auto make = [] { return SmallNet<double>(); };
  SECTION("batch norm") { check_run(make, sgd(), late("batchnorm")); }
  SECTION("head") { check_run(make, sgd(), late("head")); }
  SECTION("batch norm and head") { check_run(make, sgd(), late("batchnorm,head")); }
  SECTION("rank-1") { check_run(make, sgd(), late("rank1")); }
  SECTION("rank-1 from random signs") {
    auto signs = late("rank1");
    signs.rank_one_start = {lpw::RankOneStart::Kind::signs};
    check_run(make, sgd(), signs);
  }
  SECTION("other norms, and groups of one's own") {
    // Three norms in a row pass more of a rounding error on, the less the smaller steps are.
    for (const char* selectors : {"layernorm,groupnorm", "own:3,own:15,layernorm"}) {
      check_run([] { return OtherNorms(); }, sgd(0, BaseGradient::sum, 0.001), late(selectors), {4});
    }
  }
  SECTION("additive") { check_run(make, sgd(), late("additive")); }
  SECTION("all") { check_run(make, sgd(), late("all")); }
  SECTION("templates") {  // ten convolutions double rounding errors in an iteration, so that there are fewer of these
    auto release = late("templates");
    release.at = 2, release.until = 8;
    check_run([] { return hyper_resnet<double>(); }, sgd(), release, {4});
  }
}

TEST_CASE("members over processes clip by the norm of all members' gradients") {
  const auto make = [] { return SmallNet<double>(); };
  for (const char* selectors : {"batchnorm,head", "all"})
    for (const auto base : {BaseGradient::sum, BaseGradient::mean}) {
      CAPTURE(selectors, base == BaseGradient::sum);
      check_run(make, sgd(0.1, base), late(selectors));  // below all norms here, so that every step is clipped
    }
}

TEST_CASE("members over processes step by Adam as in one") {
  // The bias before a batch norm has no gradient but rounding errors, which a small epsilon would make steps of.
  const lpw::optim::AdamOptions options{.learning_rate = 0.01, .epsilon = 0.1};
  check_run([] { return SmallNet<double>(); }, options, late("batchnorm,head"));
}

TEST_CASE("members over processes ascend before each step as in one, and one member's parts together") {
  auto release = late("batchnorm,head");
  release.members = 3;
  const auto run = [&](auto&& members, const lpw::optim::SamOptions& options) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    lpw::optim::Sam sam(optimizer, options);
    for (std::uint32_t i = 0; i < release.until; ++i) {
      if (i == release.at) members.release(network, optimizer, release);
      const auto here = members.of(network);
      const Minibatches<double> all(here.all, release.batch, i);
      const auto images = read(all.images, here);
      const auto labels = read(all.labels, here);
      sam.step([&] {
        auto pass = members.pass(network, images);
        members.overlap(network, pass);
        lpw::Tape tape(pass);
        tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), labels));
        members.sum_gradients(network);
      });
    }
    members.gather(network, optimizer);
    return state_of(network);
  };
  using lpw::optim::Ascending;
  for (const auto weights : {Ascending::all, Ascending::late_phase, Ascending::base})
    for (const bool adaptive : {false, true}) {
      const lpw::optim::SamOptions options{.rho = 0.1, .adaptive = adaptive, .weights = weights};
      CAPTURE(mpi().rank(), mpi().size(), static_cast<int>(weights), adaptive);
      const auto whole = run(AllHere(), options);
      Worst worst;
      for (const auto& [name, rows] : run(Members(mpi()), options))
        worst.add(relative_difference(rows.values, whole.at(name).values), name);
      CHECK(worst < tolerance);
    }
}

TEST_CASE("members over processes draw the dropout of all members") {
  check_run([] { return DroppedOut(); }, sgd(), late("batchnorm,head"));
}

TEST_CASE("members over processes predict and collapse as in one") {
  constexpr std::int64_t count = 5;
  auto options = late("batchnorm,rank1");
  options.members = count;
  const Minibatches<double> test(1, 6, 99);
  const auto served = [&](auto&& members) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    lpw::optim::WeightAverage average(network);
    train_loop(members, network, optimizer, average, options, 0, iterations);
    std::vector<std::vector<double>> results;
    results.push_back(values_of(lpw::predict_members(network, test.images)));
    results.push_back(values_of(lpw::predict_ensemble(network, test.images)));
    auto copy = lpw::collapsed(network);  // the network itself is as it was
    results.push_back(logits_of(copy, test.images).values);

    // With SWA, the statistics of each member's own minibatches, and what follows a collapse.
    average.apply(network);
    std::vector<lpw::Tensor<double, Cpu>> inputs;
    for (std::uint32_t i = 0; i < 3; ++i)
      inputs.push_back(read(Minibatches<double>(count, options.batch, i).images, members.of(network)));
    lpw::optim::recompute_statistics(network, inputs);
    lpw::collapse(network, lpw::Followers(optimizer, average));
    CHECK(lpw::nn::members(network) == 1);
    results.push_back(logits_of(network, test.images).values);
    train(network, optimizer, 2);  // a plain network, on each process
    average.update();
    average.apply(network);
    for (const auto& [name, rows] : state_of(network)) results.push_back(rows.values);
    return results;
  };
  const auto whole = served(AllHere());
  const auto parts = served(Members(mpi()));
  Worst worst;
  for (std::size_t i = 0; i < whole.size(); ++i)
    worst.add(relative_difference(parts[i], whole[i]), lpw::to_text("result ", i));
  CHECK(worst < tolerance);
}

TEST_CASE("members over processes are gathered and spread without a trace") {
  Members members(mpi());
  SmallNet<double> network;
  lpw::optim::Sgd optimizer(network, sgd(0.1));
  lpw::optim::WeightAverage average(network);
  auto options = late("batchnorm,head");
  options.members = 6;
  train_loop(members, network, optimizer, average, options, 0, 12);
  auto undisturbed = lpw::nn::clone_module(network);
  const auto here = members.range(6);
  CHECK(lpw::nn::members(network) == here.count);
  CHECK(lpw::nn::flatten(network)->value.late.dim(0) == here.count);
  const auto before = state_of(network);
  const auto velocity = rows_of(optimizer.velocity().late);

  members.gather(network, lpw::Followers(optimizer, average));
  CHECK(lpw::nn::members(network) == 6);
  members.spread(network, lpw::Followers(optimizer, average));
  CHECK(state_of(network) == before);
  CHECK(rows_of(optimizer.velocity().late) == velocity);
  train_loop(members, network, optimizer, average, options, 12, 14);

  CHECK((mpi().size() == 1) == (lpw::nn::member_share(undisturbed) == nullptr));  // a copy knows of the others, too
}

TEST_CASE("members over processes are coupled as in one") {
  auto release = late("batchnorm,head");
  release.members = 3, release.at = 0;
  const auto run = [&](auto&& members, const lpw::CouplingRule& rule) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    lpw::optim::WeightAverage average(network);
    train_loop(members, network, optimizer, average, release, 0, 1);
    lpw::Coupling coupling(network, {.rule = rule, .every = 2, .random = Philox(8)});
    for (std::uint32_t i = 1; i < iterations; ++i) {
      train_loop(members, network, optimizer, average, release, i, i + 1);
      coupling.apply(i, optimizer);
      if (i == 5) {  // as for a checkpoint
        lpw::Followers all(optimizer, average);
        members.gather(network, all);
        coupling.follow(lpw::nn::flatten(network));
        if constexpr (requires { members.spread(network, all); }) members.spread(network, all);
        coupling.follow(lpw::nn::flatten(network));
      }
    }
    members.gather(network, lpw::Followers(optimizer, average));
    return state_of(network);
  };
  for (const lpw::CouplingRule& rule :
       {lpw::CouplingRule(lpw::PullToMean{.alpha = 0.3}), lpw::CouplingRule(lpw::Elastic{.rho = 0.1}),
        lpw::CouplingRule(lpw::Swap{.share = 0.2, .states = true})}) {
    const auto whole = run(AllHere(), rule);
    Worst worst;
    for (const auto& [name, rows] : run(Members(mpi()), rule))
      worst.add(relative_difference(rows.values, whole.at(name).values), name);
    CAPTURE(rule.index());
    CHECK(worst < tolerance);
  }
}

TEST_CASE("a state that one process saved is loaded by all, and spread") {
  Members members(mpi());
  auto options = late("batchnorm,head");
  options.members = 5;
  const auto run = [&](auto&& who, auto&& carry_over) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    lpw::optim::WeightAverage average(network);
    train_loop(who, network, optimizer, average, options, 0, 8);
    who.gather(network, optimizer);
    SmallNet<double> again;
    lpw::optim::Sgd steps(again, sgd());
    lpw::optim::WeightAverage unused(again);
    carry_over(network, optimizer, again, steps);
    train_loop(who, again, steps, unused, options, 8, 12);
    who.gather(again, steps);
    return state_of(again);
  };
  const TemporaryFolder folder;  // each process' own: they may be on several machines
  const auto file = folder / "state.lpw";
  const auto carry_over = [&](auto& network, auto& optimizer, auto& again, auto& steps) {
    lpw::io::save_state(file, network, optimizer);
    (void)lpw::io::load_state(file, again, steps);
  };
  const auto whole = run(AllHere(), carry_over);
  const auto parts = run(members, [&](auto& network, auto& optimizer, auto& again, auto& steps) {
    carry_over(network, optimizer, again, steps);
    members.spread(again, steps);
    CHECK(lpw::nn::members(again) == members.range(5).count);
  });
  Worst worst;
  for (const auto& [name, rows] : parts) worst.add(relative_difference(rows.values, whole.at(name).values), name);
  CHECK(worst < tolerance);
}

TEST_CASE("members over processes refuse what would be of some members only") {
  if (mpi().size() == 1) return;
  Members members(mpi());
  SmallNet<double> network;
  lpw::optim::Sgd optimizer(network, sgd());
  const auto release = [&](std::int64_t count) {
    members.release(network, optimizer, {.members = count, .late = lpw::Group::batch_norm});
  };
  struct Unsplit : lpw::distributed::SingleProcess {
    [[nodiscard]] int size() const { return mpi().size(); }
  } unsplit;
  CHECK(message_of<lpw::OptionError>([&] { (void)Members(unsplit).range(1); }) ==
        lpw::to_text("members: 1 over ", mpi().size(),
                     " processes; expected at least one for each where they cannot be split into groups, so start "
                     "fewer processes"));
  CHECK(contains(message_of<lpw::Error>([&] {
                   lpw::distributed::AnyCommunicatorOf<Unsplit> any(unsplit);
                   (void)any.split(0);
                 }),
                 "knows no groups of processes"));
  release(2 * mpi().size());
  const std::string end =
      lpw::to_text(": this process holds 2 of ", 2 * mpi().size(), " members, from number ", 2 * mpi().rank(),
                   " on, and all are needed; gather them first (distributed::Members::gather)");
  CHECK(message_of<lpw::Error>([&] { lpw::io::save_state("never-written", network); }) == "save_state" + end);
  CHECK(message_of<lpw::Error>([&] { members.spread(network, optimizer); }) == "members" + end);
  CHECK(contains(message_of<lpw::OptionError>([&] { release(8); }), "already has"));

  SmallNet<double> other;
  lpw::optim::Sgd others(other, sgd());
  const std::int64_t count = mpi().rank() == 1 ? 6 : 5;
  const auto unlike = [&] { members.release(other, others, {.members = count, .late = lpw::Group::batch_norm}); };
  CHECK(contains(message_of<lpw::Error>(unlike), "members: process 0 has 5 members ("));
}

TEST_CASE("processes make their own members' minibatches alone, and their parts of one's") {
  const auto source = std::make_shared<CountedImages>();
  lpw::data::ImageSet images{
      .count = 60, .height = 2, .width = 2, .channels = 3, .classes = 3, .pixels = {}, .labels = {}};
  images.labels.resize(60), images.source = source;
  const lpw::data::Loader<double> loader(images, {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}}, {.batch = 5});
  for (const std::int64_t count : {1, 2, 3, 5}) {
    CAPTURE(mpi().rank(), mpi().size(), count);
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    Members members(mpi());
    if (count > 1) members.release(network, optimizer, {.members = count, .late = Group::batch_norm});
    for ([[maybe_unused]] const auto& batch : loader.epoch(0, members.of(network))) {
    }
    auto read = source->taken();
    mpi().sum(std::span(read));
    CHECK(read == std::vector<double>(60, 1));  // each by one process, once
  }
}

TEST_CASE("processes count their samples together") {
  CHECK(Members(mpi()).together(100 + mpi().rank()) == mpi().size() * (200 + mpi().size() - 1) / 2);
}

TEST_CASE("a mean is of all members, whatever was passed or spread before") {
  Members members(mpi());
  const double size = mpi().size(), rank = mpi().rank(), sum = size * (size - 1) / 2;  // of ranks
  SmallNet<double> one, other;
  const lpw::Tensor<double, Cpu> mine = lpw::full<double, Cpu>({1}, rank);
  const auto close = [](double found, double expected) { return std::abs(found - expected) < 4e-15; };  // a few eps
  CHECK(close(members.mean(one, mine), sum / size));
  (void)members.pass(one, lpw::Tensor<double, Cpu>({1, 1 + mpi().rank(), 8, 8, 3}));
  (void)members.pass(other, lpw::Tensor<double, Cpu>({1, 2, 8, 8, 3}));
  const double squares = sum * (2 * size - 1) / 3;
  CHECK(close(members.mean(one, mine), (sum + squares) / (size + sum)));  // of 1 + rank samples each
  CHECK(close(members.mean(other, mine), sum / size));

  lpw::optim::Sgd optimizer(one, sgd());
  members.release(one, optimizer, {.members = 5, .late = Group::batch_norm});
  (void)members.pass(one, read(Minibatches<double>(5, 4, 1).images, members.of(one)));
  members.gather(one, optimizer);
  CHECK(close(members.mean(one, lpw::full<double, Cpu>({5}, 3.0)), 3));
  lpw::collapse(one, optimizer);
  CHECK(close(members.mean(one, lpw::full<double, Cpu>({1}, 3.0)), 3));
}
