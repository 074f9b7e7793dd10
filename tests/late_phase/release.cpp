// Release: what is replicated, what noise is added, and what is refused.
#include <lpw/late_phase/release.hpp>

#include <lpw/late_phase/predict.hpp>
#include <lpw/nn/sequential.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

/// phi_k - phi_0 of every late-phase parameter over sigma rms(phi_0), member after member; parameters whose phi_0 is
/// zero have no noise.
template <class M>
std::vector<std::vector<double>> noise_of(M& released, M& plain, double sigma) {
  std::vector<std::vector<double>> noise(static_cast<std::size_t>(lpw::nn::members(released)));
  const auto before = state_of(plain);
  lpw::nn::for_each_parameter(released, [&](const std::string& name, auto& parameter) {
    if (!parameter.late_phase()) return;
    const auto rows = rows_of(parameter.value());
    const auto start =
        before.contains(name) ? before.at(name).values : std::vector(rows.row(0).size(), lpw::nn::WeightOf<M>(1));
    double square = 0;
    for (const auto value : start) square += double(value) * double(value);
    const double rms = std::sqrt(square / static_cast<double>(start.size()));
    for (std::size_t k = 0; k < noise.size(); ++k)
      for (std::size_t i = 0; i < start.size(); ++i) {
        const double difference = double(rows.row(static_cast<std::int64_t>(k))[i]) - double(start[i]);
        if (rms > 0) {
          noise[k].push_back(difference / (sigma * rms));
        } else {
          CHECK(difference == 0);
        }
      }
  });
  return noise;
}

double mean_product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum / static_cast<double>(a.size());
}

}  // namespace

TEMPLATE_TEST_CASE("release: without noise every member predicts what the network did, bit for bit", "[late_phase]",
                   float, double) {
  auto network = wide_resnet<TestType>();
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 2);
  const Minibatches<TestType> test(1, 6, 50);
  const auto logits = logits_of(network, test.images);
  const auto probabilities = rows_of(lpw::predict_members(network, test.images)).values;
  for (const Group groups : every_choice) {
    auto released = lpw::nn::clone_module(network);
    lpw::release(released, {.members = 3, .late = groups});
    CHECK(lpw::nn::members(released) == 3);
    const auto predictions = rows_of(lpw::predict_members(released, test.images));
    for (std::int64_t k = 0; k < 3; ++k) {
      CHECK(logits_of(released, test.images, k) == logits);
      CHECK(predictions.row(k) == probabilities);
    }
  }
}

TEMPLATE_TEST_CASE("release: without noise the training losses are the network's on each minibatch", "[late_phase]",
                   float, double) {
  // The members' rows lie elsewhere in the matrix products, which may add up in another order: some hundred eps after
  // ten layers.
  const double tolerance = 500 * double(std::numeric_limits<TestType>::epsilon());
  const Minibatches<TestType> batches(3, 4, 51);
  std::vector<TestType> alone;
  for (std::int64_t k = 0; k < 3; ++k) {
    auto network = wide_resnet<TestType>();
    lpw::Tape tape;
    alone.push_back(
        lpw::cross_entropy(network.forward(tape.input(batches.images_of({k, 1}))), batches.labels_of({k, 1}))
            .value()
            .data()[0]);
  }
  CHECK(relative_difference(std::vector{alone[0]}, std::vector{alone[1]}) >
        0.01);  // the minibatches are different ones
  for (const Group groups : every_choice) {
    auto released = wide_resnet<TestType>();
    lpw::release(released, {.members = 3, .late = groups});
    CHECK(relative_difference(accumulate_gradient(released, batches), alone) < tolerance);
  }
}

TEST_CASE("release: weights, running statistics and momentum are replicated, rank-1 factors are ones at rest",
          "[late_phase]") {
  auto network = SmallNet<float>();
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 3);
  const auto before = state_of(network);
  const auto velocity_of = [&] {  // under the parameters' names
    std::map<std::string, Rows<float>> result;
    for (const auto& segment : lpw::nn::flatten(network)->segments) {
      const auto& store = segment.late_phase ? optimizer.velocity().late : optimizer.velocity().base;
      result[segment.name] = rows_of(store.columns(segment.offset, {segment.size}));
    }
    return result;
  };
  const auto momentum = velocity_of();
  const Group groups = Group::batch_norm | Group::rank_one;
  lpw::release(network, optimizer, {.members = 4, .late = groups});

  const auto after = state_of(network);
  const auto velocity = velocity_of();
  for (const auto& [name, rows] : after) {
    CAPTURE(name);
    const bool late = contains(name, "bn") || contains(name, "rank_one"), factor = contains(name, "rank_one");
    REQUIRE(rows.shape[0] == (late ? 4 : 1));
    for (std::int64_t k = 0; k < rows.shape[0]; ++k) {
      CHECK(rows.row(k) == (factor ? std::vector(rows.row(0).size(), 1.f) : before.at(name).values));
      if (!velocity.contains(name)) continue;  // a running statistic
      CHECK(velocity.at(name).row(k) == (factor ? std::vector(rows.row(0).size(), 0.f) : momentum.at(name).values));
    }
  }
  CHECK(after.size() == before.size() + 6);  // r and s of the convolution and two linear layers
  CHECK(relative_difference(momentum.at("bn1.weight").values, std::vector(5, 0.f)) > 0);
}

TEST_CASE("release: noise is normal with deviation sigma rms(phi_0), for every member its own", "[late_phase]") {
  const double sigma = 0.25;
  for (const Group groups : {Group::batch_norm | Group::head, Group::rank_one}) {
    auto plain = wide_resnet<double>(), released = wide_resnet<double>();
    randomize(plain, 1);
    randomize(released, 1);
    lpw::release(released, {.members = 4, .late = groups, .sigma = sigma, .random = Philox(9)});
    const auto noise = noise_of(released, plain, sigma);
    const double n = static_cast<double>(noise[0].size());
    CHECK(n > 600);
    // Five standard errors: 1 / sqrt(n) for a mean or a correlation, sqrt(2 / n) for a mean square.
    for (const auto& member : noise) {
      CHECK(std::abs(mean_product(member, std::vector(member.size(), 1.0))) < 5 / std::sqrt(n));
      CHECK(std::abs(mean_product(member, member) - 1) < 5 * std::sqrt(2 / n));
    }
    for (std::size_t k = 1; k < noise.size(); ++k) CHECK(std::abs(mean_product(noise[0], noise[k])) < 5 / std::sqrt(n));
    const std::vector<double> head(noise[0].begin(), noise[0].begin() + 200),
        next(noise[0].begin() + 200, noise[0].begin() + 400);
    CHECK(std::abs(mean_product(head, next)) < 5 / std::sqrt(200.0));  // parameters have noise of their own
  }
}

TEST_CASE("release: base weights and running statistics get no noise", "[late_phase]") {
  auto plain = wide_resnet<double>(), released = wide_resnet<double>();
  lpw::release(released, {.members = 2, .sigma = 1});
  const auto before = state_of(plain);
  for (const auto& [name, rows] : state_of(released)) {
    CAPTURE(name);
    const bool late = contains(name, "fc.weight") || (contains(name, "bn") && name.ends_with("weight"));
    for (std::int64_t k = 0; k < rows.shape[0]; ++k) CHECK((rows.row(k) == before.at(name).values) == !late);
  }
}

TEST_CASE("release: noise depends on the seed and the member, not on K or the other groups", "[late_phase]") {
  const auto released = [](std::uint64_t seed, std::int64_t members, Group groups = Group::batch_norm | Group::head) {
    auto network = wide_resnet<double>();
    lpw::release(network, {.members = members, .late = groups, .sigma = 0.5, .random = Philox(seed)});
    return state_of(network);
  };
  const auto one = released(1, 3);
  CHECK(one == released(1, 3));
  const auto more = released(1, 7), other = released(2, 3), head = released(1, 3, Group::head);
  for (std::int64_t k = 0; k < 3; ++k) {
    CHECK(more.at("bn.weight").row(k) == one.at("bn.weight").row(k));
    CHECK(head.at("fc.weight").row(k) == one.at("fc.weight").row(k));
    CHECK(other.at("bn.weight").row(k) != one.at("bn.weight").row(k));
  }
}

TEST_CASE("release: a weight shared by two modules stays one weight and gets its noise once", "[late_phase]") {
  TiedLayers network({.in_features = 3, .out_features = 3, .bias = false, .head = true});
  const auto start = state_of(network).at("first.weight").values;
  lpw::release(network, {.members = 200, .late = Group::head, .sigma = 1});
  const auto flat = lpw::nn::flatten(network);
  CHECK(flat->value.late.shape() == Shape{200, 9});
  double square = 0, noise = 0;
  for (const double w : start) square += w * w;
  for (std::int64_t k = 0; k < 200; ++k)
    for (int i = 0; i < 9; ++i) noise += std::pow(flat->value.late.row(k)[i] - start[static_cast<std::size_t>(i)], 2);
  CHECK(std::abs(noise / (200 * square) - 1) <
        5 * std::sqrt(2.0 / 1800));  // five standard errors; twice the noise would give 2 or more
}

TEST_CASE("release: the stores of WRN-10-1 have the sizes of its architecture", "[late_phase]") {
  const std::int64_t convolutions =
      9 * (3 * 16) + 9 * (16 * 16 + 16 * 16) + 9 * (16 * 32 + 32 * 32) + 16 * 32 + 9 * (32 * 64 + 64 * 64) + 32 * 64;
  const std::int64_t norms = 2 * ((16 + 16) + (16 + 32) + (32 + 64) + 64), head = 64 * 3 + 3;
  const std::int64_t factors =
      (3 + 16) + 2 * (16 + 16) + (16 + 32) + (32 + 32) + (16 + 32) + (32 + 64) + (64 + 64) + (32 + 64);
  const auto sizes = [](Group groups) {
    auto network = wide_resnet<float>();
    lpw::release(network, {.members = 5, .late = groups});
    const auto flat = lpw::nn::flatten(network);
    CHECK(flat->value.base.dim(0) == 1);
    CHECK(flat->value.late.dim(0) == 5);
    CHECK(flat->gradient.late.shape() == flat->value.late.shape());
    CHECK(flat->buffers.dim(0) == 5);
    return std::pair(flat->value.base.dim(1), flat->value.late.dim(1));
  };
  CHECK(sizes(Group::batch_norm | Group::head) == std::pair(convolutions, norms + head));
  CHECK(sizes(Group::batch_norm) == std::pair(convolutions + head, norms));
  CHECK(sizes(Group::head) == std::pair(convolutions + norms, head));
  CHECK(sizes(Group::rank_one) == std::pair(convolutions + norms + head, factors + 64 + 3));
  CHECK(sizes(Group::rank_one | Group::head) ==
        std::pair(convolutions + norms, factors + head));  // a released head takes no factors
}

TEST_CASE("release: what cannot work is refused and leaves the network alone", "[late_phase]") {
  using lpw::OptionError;
  SmallNet<float> network(false);
  lpw::optim::Sgd optimizer(network);
  const auto before = state_of(network);
  const auto refused = [&](const lpw::ReleaseOptions& options) {
    return message_of<OptionError>([&] { lpw::release(network, optimizer, options); });
  };
  CHECK(refused({.members = 0}) == "release: members 0; expected at least 1");
  CHECK(refused({.sigma = -0.5}) == "release: sigma -0.5; expected 0 or more");
  CHECK(refused({.late = Group::batch_norm | Group::rank_one | Group::head}) ==
        "release: the network has no head to release; mark its last layer with .head = true");
  CHECK(state_of(network) == before);  // no rank-1 factors either
  CHECK(lpw::nn::flatten(network)->value.late.size() == 0);
  train(network, optimizer, 1);  // the optimizer still is this network's

  lpw::nn::Initializer init(Philox(1));
  lpw::nn::Sequential norm(lpw::nn::BatchNorm<float, Cpu>(3));
  CHECK(message_of<OptionError>([&] { lpw::release(norm, {.late = Group::rank_one}); }) ==
        "release: the network has no layer that takes rank-1 factors");
  lpw::nn::Sequential linear(lpw::nn::Linear<float, Cpu>({.in_features = 3, .out_features = 3, .head = true}, init));
  CHECK(message_of<OptionError>([&] { lpw::release(linear, {.late = Group::batch_norm}); }) ==
        "release: the network has no batch norm to release, which .late names by default; it has head,rank1");
  CHECK(message_of<OptionError>([&] { lpw::release(linear, {.late = Group::rank_one | Group::head}); }) ==
        "release: the network has no layer that takes rank-1 factors");

  for (const std::int64_t members : {1, 3}) {
    auto released = SmallNet<float>();
    lpw::release(released, {.members = members});
    CHECK(message_of<OptionError>([&] { lpw::release(released, {.members = 3}); }) ==
          lpw::to_text("release: the network already has ", members, " released members; collapse it first"));
  }
}

TEST_CASE("release: an optimizer that does not follow refuses to step", "[late_phase]") {
  SmallNet<float> network, other;
  lpw::optim::Sgd left_behind(network), follows(network), of_other(other);
  CHECK(contains(message_of<lpw::Error>([&] { lpw::release(network, of_other, {.members = 2}); }),
                 "made for another network"));
  CHECK(lpw::nn::members(network) == 1);  // the refused release has changed nothing
  lpw::release(network, follows, {.members = 2});
  train(network, follows, 1);
  CHECK(contains(message_of<lpw::Error>([&] { left_behind.step(); }), "released without this optimizer"));
  CHECK(contains(message_of<lpw::Error>([&] { left_behind.step(); }), "release(network, optimizer, ...)"));
}

TEST_CASE("release: a part of a network can be asked for its members without moving it", "[late_phase]") {
  SmallNet<float> network;
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 3});
  CHECK(lpw::nn::members(network.bn1) == 3);
  train(network, optimizer, 1);  // does not refuse to step
}

TEST_CASE("release: a pass needs a minibatch for every member", "[late_phase]") {
  auto network = SmallNet<float>();
  lpw::release(network, {.members = 3});
  for (const std::int64_t members : {1, 2, 4}) {
    const lpw::Tape tape;
    CHECK_THROWS_AS(network.forward(tape.input(Minibatches<float>(members, 4, 0).images)), lpw::ShapeError);
  }
}

TEST_CASE("release: parameters by name, alone, beside groups and all of them", "[late_phase]") {
  const auto late = [](const Selectors& groups) {
    SmallNet<float> network;
    lpw::release(network, {.members = 2, .late = groups});
    std::set<std::string> names;
    lpw::nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
      if (parameter.late_phase()) names.insert(name);
      CHECK(parameter.value().dim(0) == (parameter.late_phase() ? 2 : 1));
    });
    return names;
  };
  std::set<std::string> all;
  SmallNet<float> plain;
  lpw::nn::for_each_parameter(plain, [&](const std::string& name, const auto&) { all.insert(name); });
  CHECK(late(Selectors::parse("conv.weight")) == std::set<std::string>{"conv.weight"});
  CHECK(late(Selectors::parse("bn*.bias,batchnorm")) == late(Group::batch_norm));
  CHECK(late(Selectors::parse("all")) == all);
  auto factored = late(Selectors::parse("rank1,conv.*"));  // what is released itself gets no factors
  CHECK(factored.contains("conv.weight"));
  CHECK_FALSE(factored.contains("conv.rank_one_r"));
  CHECK(factored.contains("hidden.rank_one_r"));

  SmallNet<float> network;
  CHECK(contains(message_of<lpw::OptionError>([&] { lpw::release(network, {.late = Selectors::parse("con.weight")}); }),
                 "release: the network has no parameter 'con.weight'; close to it: 'conv.weight'"));
  CHECK(lpw::nn::members(network) == 1);
}

TEST_CASE("release: all parameters give K networks in one pass, which collapse to their mean", "[late_phase]") {
  SmallNet<float> network;
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 3, .late = Selectors::parse("all"), .sigma = 0.1});
  train(network, optimizer, 2);
  const auto flat = lpw::nn::flatten(network);
  CHECK(flat->value.base.size() == 0);
  const auto mean = rows_of(mean_rows(flat->value.late)).row(0);
  lpw::collapse(network, lpw::Collapse::parameters);
  CHECK(rows_of(lpw::nn::flatten(network)->value.base).row(0) == mean);
}

TEST_CASE("release: members of which all is late-phase train as networks do alone", "[late_phase]") {
  const auto batches = [](std::uint32_t step) { return Minibatches<double>(3, 4, step); };
  SmallNet<double> together;
  lpw::optim::Sgd optimizer(together);
  lpw::release(together, optimizer, {.members = 3, .late = Selectors::parse("all"), .sigma = 0.2});
  const auto start = state_of(together);
  for (std::uint32_t step = 0; step < 4; ++step) {
    (void)accumulate_gradient(together, batches(step));
    optimizer.step();
  }
  const auto end = state_of(together);
  for (std::int64_t k = 0; k < 3; ++k) {
    SmallNet<double> alone;
    const auto put = [&](const std::string& name, auto& member) {
      const auto row = start.at(name).row(k);
      std::copy(row.begin(), row.end(), member.value().data());
    };
    lpw::nn::for_each_parameter(alone, put);
    lpw::nn::for_each_buffer(alone, put);
    lpw::optim::Sgd own(alone);
    for (std::uint32_t step = 0; step < 4; ++step) {
      auto batch = batches(step);
      batch.images = clone(batch.images_of({k, 1}));
      batch.labels = clone(batch.labels_of({k, 1}));
      (void)accumulate_gradient(alone, batch);
      own.step();
    }
    for (const auto& [name, rows] : state_of(alone)) {
      CAPTURE(name, k);
      // The same sums, perhaps in another order, through five layers and four steps.
      CHECK(relative_difference(end.at(name).row(k), rows.values) <= 1e-12);
    }
  }
}

TEST_CASE("Selectors: read and written as texts", "[late_phase]") {
  for (const char* text : {"none", "batchnorm,head", "rank1", "all", "head,layer3.*,fc.weight", "rank1,all"})
    CHECK(Selectors::parse(text).text() == text);
  CHECK(Selectors::parse("head,batchnorm") == Selectors(Group::batch_norm | Group::head));
  CHECK(Selectors::parse("none").empty());
  CHECK(contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("head,head"); }), "names head twice"));
  CHECK(contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("a.*,a.*"); }), "names a.* twice"));
  CHECK(contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("a b"); }), "\"a b\" is no name"));
  for (const char* text : {"", "head,", ",head"})
    CHECK(contains(message_of<lpw::OptionError>([&] { (void)Selectors::parse(text); }), "empty"));
}

TEST_CASE("release: members drawn anew have their networks' parameters, and what a network has not keeps its start",
          "[late_phase]") {
  const auto source = [](std::int64_t k) {
    return SmallNet<double>(true, lpw::nn::Initializer(Philox(100 + static_cast<std::uint64_t>(k))));
  };
  SmallNet<double> network, before;
  const lpw::ReleaseOptions options{.members = 3, .late = Selectors::parse("hidden.*,head,rank1"), .sigma = 0.1};
  lpw::release(network, lpw::NoOptimizer{}, options, source);
  const auto found = state_of(network), old = state_of(before);
  for (std::int64_t k = 0; k < 3; ++k) {
    auto drawn = source(k);
    for (const auto& [name, rows] : state_of(drawn)) {
      CAPTURE(name, k);
      const bool late = name.starts_with("hidden") || name.starts_with("last");
      const auto& expected = late ? rows : old.at(name);
      const auto& row = found.at(name);
      CHECK(row.row(row.shape[0] == 1 ? 0 : k) == expected.row(0));
    }
  }
  lpw::nn::for_each_parameter(network, [](const std::string& name, const auto& parameter) {
    if (parameter.group() != Group::rank_one) return;
    CAPTURE(name);
    CHECK(largest_difference(parameter.value(), lpw::full<double, Cpu>(parameter.value().shape(), 1.0)) > 0);  // noise
  });

  SmallNet<double> other;
  const auto message = [&](const char* late, auto&& from) {
    return message_of<lpw::Error>(
        [&] { lpw::release(other, lpw::NoOptimizer{}, {.members = 2, .late = Selectors::parse(late)}, from); });
  };
  CHECK(contains(message("rank1,additive:conv.weight", source), "can be drawn anew"));
  CHECK(state_of(other) == old);
  CHECK(contains(message("conv.weight",
                         [](std::int64_t) {
                           SmallNet<double> wide;
                           lpw::nn::Initializer init(Philox(1));
                           wide.conv = lpw::nn::Conv2d<double, Cpu>({.in_channels = 4, .out_channels = 5}, init);
                           return wide;
                         }),
                 "release: 'conv.weight' of network 0 to draw from is"));
}
