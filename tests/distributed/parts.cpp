// One member's minibatches that are cut over processes, before release and where there are fewer members than
// processes.
#include "distributed/runs.hpp"

#include <array>

#include "support/errors.hpp"

using namespace lpw::test;

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
    for (const auto& [name, rows] : parts) worst.add(relative_difference(rows.values, whole.at(name).values), name);
    CHECK(worst < tolerance);
  };
  for (const std::int64_t batch : {3, 4, 7}) check([] { return SmallNet<double>(); }, batch);
  for (const std::int64_t batch : {3, 7}) check([] { return DroppedOut(); }, batch);
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

TEST_CASE("one member's statistics are gathered anew by parts as by whole minibatches") {
  const auto statistics = [](auto&& members, std::int64_t count, const auto& pass_of) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd());
    if (count > 1) {
      auto release = late("all");
      release.members = count;
      members.release(network, optimizer, release);
    }
    std::vector<lpw::Tensor<double, Cpu>> inputs;
    for (const std::int64_t batch : {7, 3, 6})  // of which four processes read one whole
      inputs.push_back(read(Minibatches<double>(count, batch, 1).images, members.of(network)));
    std::size_t number = 0;
    lpw::optim::recompute_statistics(network, inputs, 0, {}, [&](const auto& part) {
      return pass_of(network, part, std::array<std::int64_t, 3>{7, 3, 6}[number++]);
    });
    members.gather(network, optimizer);
    return values_of(lpw::nn::flatten(network)->buffers);
  };
  for (const std::int64_t count : {1, 2}) {
    CAPTURE(mpi().rank(), mpi().size(), count);
    Members members(mpi());
    const auto parts = statistics(members, count, [&](auto& network, const auto& part, std::int64_t whole) {
      return members.statistics_pass(network, part.dim(1), {.samples = whole});
    });
    const auto expected = statistics(AllHere(), count, [](auto&&...) { return lpw::TapeOptions(); });
    CHECK(relative_difference(parts, expected) < tolerance);
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

TEST_CASE("members and parts in bfloat16 train over processes as in one, but for what rounds otherwise") {
  using lpw::bfloat16;
  const auto run = [](auto&& members, std::int64_t count) {
    SmallNet<bfloat16> network;
    lpw::optim::Sgd optimizer(network, sgd(0.5));
    for (std::uint32_t i = 0; i < 6; ++i) {
      if (i == 3) members.release(network, optimizer, {.members = count, .late = Group::batch_norm | Group::head});
      const auto here = members.of(network);
      const Minibatches<bfloat16> all(here.all, 8, i);
      const auto images = read(all.images, here);
      auto pass = members.pass(network, images);
      members.overlap(network, pass);
      lpw::Tape tape(pass);
      tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here)));
      members.sum_gradients(network);
      optimizer.step();
    }
    members.gather(network, optimizer);
    return state_of(network);
  };
  for (const std::int64_t count : {2, 5}) {
    CAPTURE(mpi().rank(), mpi().size(), count);
    const auto whole = run(AllHere(), count), parts = run(Members(mpi(), {.chunk = 0}), count);
    CHECK(run(Members(mpi(), {.chunk = 37}), count) == parts);
    // Moments and gradients are float, but a sum in another order may move an activation to its neighbour, by 2^-8 of
    // itself, and the steps after it with it. A sum that is left out once moves some weights by a tenth and more.
    Worst worst;
    for (const auto& [name, rows] : parts) worst.add(relative_difference(rows.values, whole.at(name).values), name);
    CHECK(worst < 0x1p-6);
  }
}
