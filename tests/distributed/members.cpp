// Members over processes against the same training in one process, which each process here does as well. mpirun starts
// this program: all processes pass the same tests together, so that what one of them must not leave is a CHECK.
#include <lpw/distributed/members.hpp>

#include <lpw/io/state.hpp>
#include <lpw/late_phase/coupling.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/sam.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "distributed/world.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::distributed::Members;
using lpw::optim::BaseGradient;

namespace {

// Gradients of K members are added up in another order, K terms each: K eps = 1e-15 of them. Batch norms and twenty
// iterations pass that on, the more the higher the rates. A wrong term would show as 1e-3 or more. Optimizers' states
// are gradients, which change by the weights' differences times the loss' curvature: of these networks, 1.6e-13 at
// most.
constexpr double tolerance = 1e-12;
constexpr std::uint32_t iterations = 20;

lpw::optim::SgdOptions sgd(double clip = 0, BaseGradient base_gradient = BaseGradient::sum) {
  return {.learning_rate = 0.02,
          .momentum = 0.9,
          .weight_decay = 5e-4,
          .late = lpw::optim::Rates{0.01, 5e-3},
          .base_gradient = base_gradient,
          .clip = clip};
}

/// Members of which all are here.
struct AllHere {
  template <class M>
  lpw::data::ReadMembers of(M& network) const {
    return lpw::nn::members(network);
  }
  template <class M, class F>
  void release(M& network, F&& follower, const lpw::ReleaseOptions& options) const {
    lpw::release(network, follower, options);
  }
  template <class M, class X>
  lpw::TapeOptions pass(M&, const X&) const {
    return {};
  }
  template <class M>
  void overlap(M&, lpw::TapeOptions&) const {}
  template <class M>
  void sum_gradients(M&) const {}
  template <class M, class F>
  void gather(M&, F&&) const {}
  template <class M, class X>
  double mean(M&, const X& values) const {
    return static_cast<double>(lpw::mean_rows(values.reshaped({values.size(), 1})).data()[0]);
  }
};

/// What is to be released, when, the iterations of the whole run, and the samples of a minibatch.
struct Release : lpw::ReleaseOptions {
  std::uint32_t at = 5, until = iterations;
  std::int64_t batch = 8;
};

/// Minibatches [K, B, ...] as a loader makes them for these members.
template <class T>
lpw::Tensor<T, Cpu> read(const lpw::Tensor<T, Cpu>& all, const lpw::data::ReadMembers& members) {
  const auto whole = all.rows(members.first, members.count);
  if (members.parts == 1) return whole;
  const auto [count, before] = members.samples_of(all.dim(1));
  const lpw::Shape sample = all.shape().slice(2, all.shape().rank());
  return whole.reshaped(sample.prepend(all.dim(1))).rows(before, count).reshaped(sample.prepend(count).prepend(1));
}

/// Iterations `from` to `to` of a loop of one's own: as a plain network, and from release.at on as members, which are
/// averaged by SWA then. `chunk` of those here are computed at a time.
template <class M, class Optimizer>
void train_loop(auto& members, M& network, Optimizer& optimizer, lpw::optim::WeightAverage<double, Cpu>& average,
                const Release& release, std::uint32_t from, std::uint32_t to, std::int64_t chunk = 0) {
  for (std::uint32_t i = from; i < to; ++i) {
    if (i == release.at) members.release(network, lpw::Followers(optimizer, average), release);
    const auto here = members.of(network);
    const Minibatches<double> all(here.all, release.batch, i);
    const auto images = read(all.images, here);
    const auto labels = read(all.labels, here);
    auto options = members.pass(network, images);
    options.random = Philox(3, lpw::Stream::dropout, i);
    for (const auto range : lpw::member_chunks(here.count, chunk)) {
      options.members = range;
      if (range.first + range.count == here.count) members.overlap(network, options);
      lpw::Tape tape(options);
      const auto x = tape.input(images.rows(range.first, range.count));
      tape.backward(lpw::cross_entropy(network.forward(x), labels.rows(range.first, range.count)));
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
    if constexpr (std::is_same_v<Options, lpw::optim::AdamOptions>) {
      return lpw::optim::Adam(network, options);
    } else {
      return lpw::optim::Sgd(network, options);
    }
  }();
  lpw::optim::WeightAverage average(network);
  train_loop(members, network, optimizer, average, release, 0, release.until, chunk);
  members.gather(network, lpw::Followers(optimizer, average));
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
    states.add(relative_difference(found.pairs[i].values, expected.pairs[i].values), lpw::to_text("store ", i));
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

Release late(const char* selectors) {
  return {{.late = Selectors::parse(selectors), .sigma = 0.2, .random = Philox(5)}};
}

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

TEST_CASE("fewer members than processes train as in one, each in several of them") {
  if (mpi().size() < 3) return;
  const std::vector<std::int64_t> counts{2, 3};
  const auto make = [] { return SmallNet<double>(); };
  check_run(make, sgd(0.1), late("all"), counts);
  auto odd = late("batchnorm,head");
  odd.batch = 7;
  check_run(make, sgd(0, BaseGradient::mean), odd, counts);

  // Each holds one, and reads a part of its minibatches; all of those that share one hold the same bits.
  Members members(mpi());
  auto network = make();
  lpw::optim::Sgd optimizer(network, sgd());
  lpw::optim::WeightAverage average(network);
  auto two = late("batchnorm");
  two.members = 2, two.at = 0;
  train_loop(members, network, optimizer, average, two, 0, 3);
  const auto here = members.of(network);
  CHECK((here.all == 2 && here.count == 1 && here.parts >= 1 && here.part < here.parts));
  CHECK(here.first == mpi().rank() * 2 / mpi().size());
  const auto own = values_of(lpw::nn::flatten(network)->value.late);
  members.gather(network, optimizer);
  CHECK(values_of(lpw::nn::flatten(network)->value.late.rows(here.first, 1)) == own);
}

TEST_CASE("members over processes step by Adam as in one") {
  // The bias before a batch norm has no gradient but rounding errors, which a small epsilon would make steps of.
  const lpw::optim::AdamOptions options{.learning_rate = 0.01, .epsilon = 0.1};
  check_run([] { return SmallNet<double>(); }, options, late("batchnorm,head"));
}

TEST_CASE("members over processes ascend before each step as in one, and one member's parts together") {
  auto release = late("batchnorm,head");
  release.members = 3, release.at = 4, release.until = 10;
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
  // From the first iteration on, since one member's parts drop out otherwise; ten convolutions double rounding errors
  // in an iteration, so that there are fewer of these.
  auto release = late("batchnorm,head");
  release.at = 0, release.until = 8;
  check_run([] { return wide_resnet<double>(0.3); }, sgd(), release);
}

TEST_CASE("one member's minibatches are cut over processes, and are normalised as one") {
  const auto run = [](auto&& members, auto network, std::int64_t batch) {
    lpw::optim::Sgd optimizer(network, sgd(0.5));
    lpw::optim::WeightAverage average(network);
    train_loop(members, network, optimizer, average, {{}, iterations, iterations, batch}, 0, iterations);
    return state_of(network);
  };
  const auto check = [&](const auto& make, std::int64_t batch) {
    CAPTURE(mpi().rank(), mpi().size(), batch);
    const auto parts = run(Members(mpi()), make(), batch), whole = run(AllHere(), make(), batch);
    Worst worst;
    for (const auto& [name, rows] : parts)
      if (batch >= mpi().size() || !name.ends_with("running_var"))  // unbiased as of R times a minibatch that all read
        worst.add(relative_difference(rows.values, whole.at(name).values), name);
    CHECK(worst < tolerance);
  };
  for (const std::int64_t batch : {3, 4, 7}) check([] { return SmallNet<double>(); }, batch);
  check([] { return wide_resnet<double>(); }, 5);  // with batch norms that add a residual

  // In float the convolutions sum moments and gradients for the batch norms beside them. 1e-4: as for algorithm 1.
  const auto gradient = [](auto&& members) {
    auto network = wide_resnet<float>();
    const auto flat = lpw::nn::flatten(network);  // where gradients are summed
    const auto here = members.of(network);
    const Minibatches<float> all(1, 7, 3);
    const auto images = read(all.images, here);
    lpw::Tape tape(members.pass(network, images));
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here));
    tape.backward(loss);
    members.sum_gradients(network);
    auto result = values_of(flat->gradient.base);
    for (const double statistic : values_of(flat->buffers)) result.push_back(statistic);
    return std::pair(result, members.mean(network, loss.value()));
  };
  const auto [found, loss] = gradient(Members(mpi()));
  const auto [expected, expected_loss] = gradient(AllHere());
  CHECK(relative_norm(found, expected) < 1e-4);
  CHECK(std::abs(loss - expected_loss) < 1e-5);

  // The weights of a mean are not summed over processes.
  if (mpi().size() > 1) {
    auto network = SmallNet<double>();
    Members members(mpi());
    const Minibatches<double> all(1, 7, 3);
    const auto images = read(all.images, members.of(network));
    lpw::Tape tape(members.pass(network, images));
    const auto logits = network.forward(tape.input(images));
    CHECK_THROWS_WITH(lpw::cross_entropy(logits, read(all.labels, members.of(network)), {.ignore_index = 0}),
                      Catch::Contains("other processes have the rest of this minibatch"));
  }
}

TEST_CASE("parts that are normalised each by its own moments add up to the gradient and statistics of their losses") {
  const auto check = [](std::int64_t count) {
    CAPTURE(mpi().rank(), mpi().size(), count);
    constexpr std::int64_t batch = 9;  // of which four parts have two samples and more
    const Minibatches<double> all(count, batch, 3);
    SmallNet<double> network, whole;
    lpw::optim::Sgd optimizer(network, sgd()), other(whole, sgd());
    Members members(mpi());
    auto release = late("batchnorm");
    release.members = count;
    if (count > 1) members.release(network, optimizer, release), lpw::release(whole, other, release);
    const auto here = members.of(network);
    const auto images = read(all.images, here);
    auto pass = members.pass(network, images);
    pass.cut.reset();  // as by --statistics local
    lpw::Tape tape(pass);
    tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here)));
    members.sum_gradients(network);
    members.average_statistics(network);

    // The same parts, one after another.
    const auto flat = lpw::nn::flatten(network), parts = lpw::nn::flatten(whole);
    const auto before = lpw::clone(parts->buffers);
    auto base = lpw::zeros<double, Cpu>(parts->gradient.base.shape()),
         rows = lpw::zeros<double, Cpu>(parts->gradient.late.shape()),
         statistics = lpw::zeros<double, Cpu>(before.shape());
    for (int rank = 0; rank < mpi().size(); ++rank) {
      const auto holding = lpw::distributed::detail::holding(count, mpi().size(), rank);
      const std::int64_t k = holding.here.first;
      lpw::data::ReadMembers part(count, k, 1);
      part.part = holding.part, part.parts = holding.parts;
      copy(before, parts->buffers);
      fill(parts->gradient.base, 0.0), fill(parts->gradient.late, 0.0);
      lpw::Tape one({.members = holding.here});
      one.backward(lpw::cross_entropy(whole.forward(one.input(read(all.images, part))), read(all.labels, part)));
      const double share = static_cast<double>(part.samples_of(batch).first) / batch;
      const auto add = [&](lpw::Tensor<double, Cpu> to, const lpw::Tensor<double, Cpu>& from) {
        for (std::int64_t i = 0; i < to.size(); ++i) to.data()[i] += share * from.data()[i];
      };
      add(base, parts->gradient.base), add(rows.rows(k, 1), parts->gradient.late.rows(k, 1));
      add(statistics.rows(k, 1), parts->buffers.rows(k, 1));
    }
    CHECK(relative_difference(values_of(flat->gradient.base), values_of(base)) < tolerance);
    CHECK(relative_difference(values_of(flat->buffers), values_of(statistics.rows(here.first, 1))) < tolerance);
    if (count > 1)
      CHECK(relative_difference(values_of(flat->gradient.late), values_of(rows.rows(here.first, 1))) < tolerance);
  };
  check(1);
  if (mpi().size() > 2) check(2);
}

namespace {

/// Mpi, with a note of what is called: 's' a sum that starts, '.' an operation's step, and 'f' the end of sums.
struct Noting : lpw::distributed::SingleProcess {
  [[nodiscard]] int rank() const { return mpi().rank(); }
  [[nodiscard]] int size() const { return mpi().size(); }
  template <class W>
  void sum(std::span<W> values) const {
    mpi().sum(values);
  }
  template <class W>
  void start_sum(std::span<W> values, const lpw::distributed::Owner& owner) {
    notes += 's';
    mpi().start_sum(values, owner);
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const { mpi().gather(own, all); }
  void progress() {
    notes += '.';
    mpi().progress();
  }
  void finish_sums() {
    notes += 'f';
    mpi().finish_sums();
  }
  std::string notes = {};
};

}  // namespace

namespace {

/// A pass over two samples here.
template <class M>
void backward(M& network, const lpw::TapeOptions& pass) {
  const Minibatches<double> two(1, 2, static_cast<std::uint32_t>(mpi().rank()));
  lpw::Tape tape(pass);
  tape.backward(lpw::cross_entropy(network.forward(tape.input(two.images)), two.labels));
}

}  // namespace

TEST_CASE("gradients are summed while backward runs, and to the same bits as after it") {
  if (mpi().size() == 1) return;
  for (const bool released : {false, true}) {
    std::vector<std::vector<double>> gradients;
    for (const std::int64_t chunk : {0, 1000, 20000}) {
      CAPTURE(mpi().rank(), mpi().size(), released, chunk);
      Noting noting;
      Members members(noting, {.chunk = chunk});
      auto network = wide_resnet<float>();
      lpw::optim::Sgd optimizer(network, sgd());
      if (released) Members(mpi()).release(network, optimizer, {.members = 5, .late = Group::batch_norm});
      const Minibatches<float> all(released ? 5 : 1, 7, 3);
      const auto here = members.of(network);
      const auto images = read(all.images, here);
      auto pass = members.pass(network, images);
      members.overlap(network, pass);
      lpw::Tape tape(pass);
      tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here)));
      const std::string during = std::exchange(noting.notes, "");
      members.sum_gradients(network);
      gradients.push_back(values_of(lpw::nn::flatten(network)->gradient.base));
      CHECK(gradients.back() == gradients.front());
      if (chunk == 0) {
        CHECK((during.empty() && noting.notes.empty()));
        continue;
      }
      // The last chunk begins with the head's gradient, and all have begun when backward ends: with more than one, some
      // long before.
      const auto weights = lpw::nn::flatten(network)->gradient.base.size();
      CHECK(std::count(during.begin(), during.end(), 's') == (weights + chunk - 1) / chunk);
      const auto steps = std::count(during.begin(), during.end(), '.');
      CHECK(std::count(during.begin(), during.begin() + std::ssize(during) / 2, 's') > 0);
      CHECK(during.find('s') < lpw::to_size(steps) / 3);
      CHECK(noting.notes == "f");
    }
  }

  SmallNet<double> network;
  Members members(mpi());
  auto pass = members.pass(network, Minibatches<double>(1, 2, 3).images);
  members.overlap(network, pass);
  backward(network, pass);
  CHECK(contains(message_of<lpw::Error>([&] { backward(network, pass); }),
                 "a second backward pass after the one during which"));
  CHECK(contains(message_of<lpw::Error>([&] { members.overlap(network, pass); }),
                 "still being summed since its last backward pass"));
  members.sum_gradients(network);
  Members unlike(mpi(), {.chunk = mpi().rank() == 1 ? 0 : 100});
  CHECK(message_of<lpw::Error>([&] { unlike.overlap(network, pass); }) ==
        "members: chunk is 100 in process 0 and 0 in process 1; all processes must sum alike");
  CHECK(message_of<lpw::OptionError>([&] { (void)Members(mpi(), {.chunk = -1}); }) ==
        "members: chunk -1; expected from 0 to 2^28 numbers");
}

TEST_CASE("gradients of two networks are summed while their backward passes run, each to its own") {
  if (mpi().size() == 1) return;
  const auto gradients = [](std::int64_t chunk) {
    SmallNet<double> one, other(true, lpw::nn::Initializer(Philox(2)));
    const auto of_one = lpw::nn::flatten(one), of_other = lpw::nn::flatten(other);
    Members members(mpi(), {.chunk = chunk});
    const Minibatches<double> two(1, 2, 3);
    auto pass = members.pass(one, two.images), unused = pass, next = members.pass(other, two.images);
    members.overlap(one, unused);  // a pass that does not come
    members.overlap(one, pass);
    backward(one, pass);
    members.overlap(other, next);
    backward(other, next);
    members.sum_gradients(one);
    members.sum_gradients(other);
    return std::pair(values_of(of_one->gradient.base), values_of(of_other->gradient.base));
  };
  CHECK(gradients(50) == gradients(0));
}

namespace {

/// A network with a layer that no pass reads.
struct WithSpare : SmallNet<double> {
  lpw::nn::Initializer init{Philox(4)};
  lpw::nn::Linear<double, Cpu> spare{{3, 4}, init};
  template <class F>
  void visit(F&& f) {
    f("spare", spare);
    SmallNet<double>::visit(f);
  }
};

/// Holds steps whose gradients are summed in chunks to the bits of those whose are summed after backward.
void check_chunks(const auto& make, const Release& release, const std::vector<std::int64_t>& chunks,
                  std::int64_t members_at_once = 0, const std::vector<lpw::optim::ParameterGroup>& groups = {}) {
  auto options = sgd(0.5);
  options.groups = groups;
  const auto run = [&](std::int64_t chunk) {
    auto network = make();
    lpw::optim::Sgd optimizer(network, options);
    lpw::optim::WeightAverage average(network);
    Members members(mpi(), {.chunk = chunk});
    train_loop(members, network, optimizer, average, release, 0, 3, members_at_once);
    members.gather(network, lpw::Followers(optimizer, average));
    return state_of(network);
  };
  const auto expected = run(0);
  for (const std::int64_t chunk : chunks) {
    CAPTURE(mpi().rank(), mpi().size(), chunk);
    CHECK(run(chunk) == expected);
  }
}

}  // namespace

TEST_CASE("weights that are tied, unused, frozen or made of templates are in chunks whose gradients are finished") {
  if (mpi().size() == 1) return;
  const auto plain = Release{{}, 3};
  const auto small = [] { return SmallNet<double>(); };
  for (const auto tie : {Tie::dense_weight, Tie::parameter})
    check_chunks([&] { return TiedTable(tie, false); }, plain, {1, 10});
  check_chunks([] { return WithSpare(); }, plain, {1, 37});
  check_chunks(small, plain, {1, 37}, 0, {{.names = {"hidden.*", "conv.*"}, .frozen = true}});
  auto released = late("batchnorm,head");
  released.members = 5, released.at = 0;
  check_chunks(small, released, {1, 37}, 1);
  auto templates = late("templates");
  templates.members = 3, templates.at = 1;
  check_chunks([] { return hyper_resnet<double>(); }, templates, {1000});
}

TEST_CASE("gradients stay where they are summed when an error ends their network") {
  if (mpi().size() == 1) return;
  std::weak_ptr<void> store;
  {
    SmallNet<double> network;
    Members members(mpi(), {.chunk = 50});
    auto pass = members.pass(network, Minibatches<double>(1, 2, 3).images);
    members.overlap(network, pass);
    backward(network, pass);
    store = lpw::nn::flatten(network);
  }
  CHECK_FALSE(store.expired());
  mpi().finish_sums();
  CHECK(store.expired());
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
    for (std::uint32_t i = 1; i < 9; ++i) {
      train_loop(members, network, optimizer, average, release, i, i + 1);
      coupling.apply(i, optimizer);
      if (i == 5) {  // as for a checkpoint
        members.gather(network, optimizer);
        coupling.follow(lpw::nn::flatten(network));
        if constexpr (requires { members.spread(network, optimizer); }) members.spread(network, optimizer);
        coupling.follow(lpw::nn::flatten(network));
      }
    }
    members.gather(network, optimizer);
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

TEST_CASE("gradients of one member's parts add up where these are alike, and are refused where they are not") {
  if (mpi().size() == 1) return;
  SmallNet<double> network;
  Members members(mpi());
  const auto here = members.of(network);
  const auto backward = [&](std::int64_t batch) {
    const Minibatches<double> all(1, batch, 3);
    const auto images = read(all.images, here);
    lpw::Tape tape(members.pass(network, images));
    tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here)));
  };
  CHECK(contains(message_of<lpw::Error>([&] { members.sum_gradients(network); }), "ask pass() or pass_of()"));
  const std::int64_t even = 2 * mpi().size(), uneven = even + 1;
  backward(even), backward(even);
  CHECK(contains(message_of<lpw::Error>([&] { backward(uneven); }), "no sum_gradients() between"));
  members.sum_gradients(network);
  backward(uneven);
  members.sum_gradients(network);
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

TEST_CASE("processes sum in one order, and give each other what they have") {
  const int rank = mpi().rank(), size = mpi().size();
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1'200'003}}) {
    std::vector<double> doubles(length);
    std::vector<float> floats(length);
    const auto value = [](std::size_t i, int of) { return 1.0 / double(i % 1000 + 3) + of; };
    for (std::size_t i = 0; i < length; ++i)
      doubles[i] = value(i, rank), floats[i] = static_cast<float>(value(i, rank));
    mpi().sum(std::span(doubles));
    mpi().sum(std::span(floats));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < length; ++i) {
      double sum = 0, of_floats = 0;
      for (int process = 0; process < size; ++process)
        sum += value(i, process), of_floats += static_cast<double>(static_cast<float>(value(i, process)));
      if (!(doubles[i] == sum) || !(floats[i] == static_cast<float>(of_floats))) ++wrong;
    }
    CHECK(wrong == 0);
  }

  std::vector<std::int32_t> own(lpw::to_size(rank), rank), all(lpw::to_size(size * (size - 1) / 2)), expected;
  for (int process = 0; process < size; ++process)
    expected.insert(expected.end(), lpw::to_size(process), process);  // process 0 has nothing
  mpi().gather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  CHECK(all == expected);
  CHECK(contains(message_of<lpw::ShapeError>([&] {
                   std::vector<std::byte> room(all.size() * 4 + 1);
                   mpi().gather(std::as_bytes(std::span(own)), room);
                 }),
                 "bytes together, expected"));

  std::array<float, 1> few{};
  CHECK(message_of<lpw::OptionError>([&] { mpi().start_sum(std::span(few.data(), (std::size_t{1} << 28) + 1)); }) ==
        "start_sum: 268435457 numbers; expected at most 2^28 at a time");

  double last = rank;
  mpi().broadcast(std::as_writable_bytes(std::span(&last, 1)), size - 1);
  CHECK(last == size - 1);
  CHECK(contains(message_of<lpw::OptionError>([&] { mpi().broadcast({}, size); }), "broadcast: from process"));
  mpi().barrier();
}
