// Additive late-phase weights, theta + phi_k: of every layer, alone and beside others.
#include <lpw/nn/forms/additive.hpp>

#include <functional>

#include <lpw/late_phase/predict.hpp>
#include <lpw/models/language_model.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

const char* const choices[] = {"additive", "additive,head", "batchnorm,additive", "additive:*.bias,additive:bn*,rank1",
                               "additive:conv.weight"};

/// Every stores' gradients of `loss`, recorded on the tape that it is given, against central differences in double.
template <class M>
void check_gradients(M& network, const std::function<lpw::Variable<double, Cpu>(const lpw::Tape&)>& loss) {
  const auto flat = lpw::nn::flatten(network);
  lpw::Tape tape;
  tape.backward(loss(tape));
  const auto total = [&] {
    double sum = 0;
    for (const double value : values_of(loss(lpw::Tape({.record = false})).value())) sum += value;
    return sum;
  };
  for (auto [value, gradient] :
       {std::pair(flat->value.base, flat->gradient.base), std::pair(flat->value.late, flat->gradient.late)}) {
    Worst worst;
    for (std::int64_t k = 0; k < value.dim(0); ++k)
      for (std::int64_t i = 0; i < value.dim(1); ++i) {
        double& x = value.row(k)[i];
        const double before = x, h = 1e-5;
        const auto at = [&](double moved) {
          x = moved;
          return total();
        };
        const double slope = (at(before + h) - at(before - h)) / (2 * h);
        x = before;
        worst.add(k * value.dim(1) + i, gradient.row(k)[i], slope, 1 + std::abs(slope));
      }
    // Losses near 4 are exact to 1e-15, or 1e-10 over 2h; h^2 times a third derivative below 100 is 1e-8.
    CHECK(worst <= 2e-8);
  }
}

/// The members' weights under their parameters' names.
template <class M>
std::map<std::string, Rows<lpw::nn::WeightOf<M>>> member_weights(M& network) {
  std::map<std::string, Rows<lpw::nn::WeightOf<M>>> weights;
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    if (!name.ends_with(".additive")) weights.emplace(name, rows_of(lpw::nn::member_rows(parameter)));
  });
  return weights;
}

}  // namespace

TEST_CASE("additive: gradients of convolution, batch norm and linear layers with two members", "[late_phase]") {
  for (const char* late : choices) {
    CAPTURE(late);
    SmallNet<double> network;
    lpw::release(network, {.members = 2, .late = Selectors::parse(late), .sigma = 0.3});
    const Minibatches<double> batches(2, 3, 0);
    check_gradients(network, [&](const lpw::Tape& tape) {
      return lpw::cross_entropy(network.forward(tape.input(batches.images)), batches.labels);
    });
  }
}

TEST_CASE("additive: gradients of embedding, LSTM and head with two members", "[late_phase]") {
  for (const char* late : {"additive", "additive:embedding.*,rank1", "additive:lstm.*,head"}) {
    CAPTURE(late);
    lpw::nn::LanguageModel<double, Cpu> network({.hidden = 3, .layers = 2, .embedding = 2, .vocabulary = 4}, Philox(3));
    lpw::release(network, {.members = 2, .late = Selectors::parse(late), .sigma = 0.3});
    const auto symbols = random_indices({2, 5, 2}, 4), labels = random_indices({2, 10}, 4, Philox(8));
    check_gradients(network, [&](const lpw::Tape& tape) {
      return lpw::cross_entropy(network.forward(tape.input(symbols), network.start(2, 2)).logits, labels);
    });
  }
}

TEST_CASE("additive: theta's gradient is the sum of the deviations', one member after another", "[late_phase]") {
  SmallNet<float> network;
  lpw::release(network, {.members = 3, .late = Selectors::parse("additive"), .sigma = 0.1});
  (void)accumulate_gradient(network, Minibatches<float>(3, 4, 0));
  int compared = 0;
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    const auto* const phi = parameter.deviations();
    if (!phi) return;
    CAPTURE(name);
    const auto theta = rows_of(parameter.gradient()), deviations = rows_of(phi->gradient());
    for (std::size_t i = 0; i < theta.values.size(); ++i) {
      float sum = 0;
      for (std::int64_t k = 0; k < 3; ++k) sum += deviations.row(k)[i];
      CHECK(theta.values[i] == sum);
    }
    ++compared;
  });
  CHECK(compared == 9);
}

TEMPLATE_TEST_CASE("additive: deviations of zero change nothing, and collapse to the network bit for bit",
                   "[late_phase]", float, double) {
  SmallNet<TestType> network;
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 3);
  const Minibatches<TestType> test(1, 6, 50);
  const auto logits = logits_of(network, test.images);
  const auto before = state_of(network);
  for (const char* late : choices)
    for (const auto form : {lpw::Collapse::affine, lpw::Collapse::parameters}) {
      CAPTURE(late);
      lpw::release(network, {.members = 3, .late = Selectors::parse(late)});
      CHECK(lpw::nn::members(network) == 3);
      for (std::int64_t k = 0; k < 3; ++k) CHECK(logits_of(network, test.images, k) == logits);
      lpw::collapse(network, form);
      CHECK(state_of(network) == before);
      CHECK(lpw::nn::flatten(network)->value.late.size() == 0);
    }
}

TEST_CASE("additive: noise gives the members that a release of the parameters themselves gives", "[late_phase]") {
  const auto released = [](const char* late) {
    SmallNet<double> network;
    randomize(network, 4);
    lpw::release(network, {.members = 3, .late = Selectors::parse(late), .sigma = 0.4, .random = Philox(6)});
    return member_weights(network);
  };
  const auto whole = released("all"), added = released("additive");
  REQUIRE(added.size() == whole.size());
  for (const auto& [name, rows] : whole) {
    CAPTURE(name);
    REQUIRE(added.at(name).shape == rows.shape);
    // of sums below 10, each rounded once more
    CHECK(largest_difference(added.at(name).values, rows.values) <= 20 * lpw::epsilon<double>());
    CHECK(relative_difference(rows.row(0), rows.row(1)) > 0.01);
  }
}

TEST_CASE("additive: collapses as members that hold the same weights whole", "[late_phase]") {
  for (const char* late : {"additive", "additive,head", "additive:bn1.weight"})
    for (const auto form : {lpw::Collapse::affine, lpw::Collapse::parameters}) {
      CAPTURE(late);
      SmallNet<double> network, whole;
      lpw::release(network, {.members = 3, .late = Selectors::parse(late)});
      lpw::release(whole, {.members = 3, .late = Selectors::parse("all")});
      randomize(network, 8);
      const auto weights = member_weights(network);
      const auto statistics = state_of(network);
      const auto put = [](const Rows<double>& rows, auto& member) {
        for (std::int64_t k = 0; k < 3; ++k) {
          const auto row = rows.row(rows.shape[0] == 1 ? 0 : k);
          std::copy(row.begin(), row.end(), member.value().row(k));
        }
      };
      lpw::nn::for_each_parameter(whole, [&](const auto& name, auto& p) { put(weights.at(name), p); });
      lpw::nn::for_each_buffer(whole, [&](const auto& name, auto& b) { put(statistics.at(name), b); });
      const Minibatches<double> test(1, 5, 3);
      // Sums in another order through five layers, of values below 100.
      const double tolerance = 1e-12;
      for (std::int64_t k = 0; k < 3; ++k)
        CHECK(relative_difference(logits_of(network, test.images, k).values, logits_of(whole, test.images, k).values) <=
              tolerance);
      lpw::collapse(network, form);
      lpw::collapse(whole, form);
      const auto expected = state_of(whole);
      for (const auto& [name, rows] : state_of(network)) {
        CAPTURE(name);
        CHECK(relative_difference(rows.values, expected.at(name).values) <= tolerance);
      }
    }
}

TEST_CASE("additive: a collapsed network computes what averaged deviations do", "[late_phase]") {
  SmallNet<double> network, unfolded;
  lpw::release(network, {.members = 4, .late = Selectors::parse("additive")});
  lpw::release(unfolded, {.members = 1, .late = Selectors::parse("additive")});
  randomize(network, 9);
  const auto members = state_of(network);
  const auto put_mean = [&](const std::string& name, auto& member) {
    const auto& rows = members.at(name);
    for (std::int64_t i = 0; i < member.value().size(); ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < rows.shape[0]; ++k) sum += rows.row(k)[static_cast<std::size_t>(i)];
      member.value().data()[i] = sum / static_cast<double>(rows.shape[0]);
    }
  };
  lpw::nn::for_each_parameter(unfolded, put_mean);
  lpw::nn::for_each_buffer(unfolded, put_mean);
  lpw::collapse(network, lpw::Collapse::parameters);
  const Minibatches<double> test(1, 6, 1);
  CHECK(relative_difference(logits_of(network, test.images).values, logits_of(unfolded, test.images).values) <=
        1e-12);                              // means in another order, through five layers
  CHECK(state_of(network).size() == 9 + 4);  // parameters and statistics of a plain network
}

TEMPLATE_TEST_CASE("additive: members in chunks train to the same bits", "[late_phase]", float, double) {
  const auto run = [](std::int64_t chunk) {
    SmallNet<TestType> network;
    lpw::optim::Sgd optimizer(network);
    lpw::release(network, optimizer, {.members = 5, .late = Selectors::parse("additive"), .sigma = 0.1});
    train(network, optimizer, 4, 0, chunk);
    return state_of(network);
  };
  const auto whole = run(0);
  for (const std::int64_t chunk : {1, 2, 5}) CHECK(run(chunk) == whole);
}

TEST_CASE("additive: what is selected otherwise gets no deviations, and what has deviations no factors",
          "[late_phase]") {
  const auto names = [](const char* late) {
    SmallNet<float> network;
    lpw::release(network, {.members = 2, .late = Selectors::parse(late)});
    std::set<std::string> result;
    lpw::nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
      if (parameter.late_phase()) result.insert(name);
      CHECK(parameter.value().dim(0) == (parameter.late_phase() ? 2 : 1));
    });
    return result;
  };
  using Names = std::set<std::string>;
  CHECK(names("additive:conv.*,additive:*.bias,head") == Names{"conv.weight.additive", "bn1.bias.additive",
                                                               "hidden.bias.additive", "bn2.bias.additive",
                                                               "last.weight", "last.bias"});
  CHECK(names("rank1,additive:hidden.weight") ==
        Names{"hidden.weight.additive", "conv.rank_one_r", "conv.rank_one_s", "last.rank_one_r", "last.rank_one_s"});
  CHECK(names("additive").size() == 9);

  SmallNet<float> network;
  const auto refused = [&](const char* late) {
    return message_of<lpw::OptionError>([&] { lpw::release(network, {.late = Selectors::parse(late)}); });
  };
  CHECK(contains(refused("additive:con.weight"),
                 "release: the network has no parameter 'con.weight'; close to it: 'conv.weight'"));
  CHECK(refused("all,additive:bn*") ==
        "release: other selectors have all parameters 'bn*', so that none is left to be additive");
  CHECK(refused("rank1,additive") == "release: the network has no layer that takes rank-1 factors");
  CHECK(lpw::nn::members(network) == 1);
  CHECK(lpw::nn::flatten(network)->value.late.size() == 0);
}

TEST_CASE("additive: layers that share a weight share its deviations, copies have their own", "[late_phase]") {
  for (const char* late : {"additive", "additive:first.*", "additive:second.*"}) {
    CAPTURE(late);
    TiedLayers network({.in_features = 3, .out_features = 3});
    lpw::release(network, {.members = 2, .late = Selectors::parse(late), .sigma = 0.5});
    CHECK(lpw::nn::flatten(network)->value.late.shape() == Shape{2, 12});
    const auto x = random_tensor<double>({2, 4, 3}, 1);
    check_gradients(network, [&](const lpw::Tape& tape) {
      return lpw::cross_entropy(network.forward(tape.input(x)), random_indices({2, 4}, 3));
    });
    const auto before = state_of(network);
    auto copy = lpw::nn::clone_module(network);
    CHECK(state_of(copy) == before);
    CHECK(copy.first.weight.deviations()->id() == copy.second.weight.deviations()->id());
    CHECK(copy.first.weight.deviations()->id() != network.first.weight.deviations()->id());
    randomize(copy, 3);
    CHECK(state_of(network) == before);
    const auto weights = member_weights(network);
    lpw::collapse(network);
    const auto rows = weights.at("first.weight");
    std::vector<double> mean;
    for (std::size_t i = 0; i < 9; ++i) mean.push_back((rows.row(0)[i] + rows.row(1)[i]) / 2);
    CHECK(relative_difference(state_of(network).at("second.weight").values, mean) <= 4 * lpw::epsilon<double>());
    CHECK(network.first.weight.deviations() == nullptr);
  }
}

TEST_CASE("additive: the network trains, collapses and is released again", "[late_phase]") {
  SmallNet<float> network;
  lpw::optim::Sgd optimizer(network);
  for (int round = 0; round < 2; ++round) {
    lpw::optim::Sgd next(network);
    lpw::release(network, next, {.members = 3, .late = Selectors::parse("additive"), .sigma = 0.1});
    const auto start = state_of(network);
    train(network, next, 2);
    const auto end = state_of(network);
    for (const auto& [name, rows] : start) {
      CAPTURE(name);
      CHECK_FALSE(end.at(name) == rows);
    }
    const Minibatches<float> test(1, 5, 3);
    CHECK_FALSE(logits_of(network, test.images, 0) == logits_of(network, test.images, 2));
    lpw::collapse(network);
  }
}

TEST_CASE("Selectors: additive is read and written as a text", "[late_phase]") {
  for (const char* text : {"additive", "head,additive:layer3.*", "rank1,all,fc.*,additive,additive:bn*"})
    CHECK(Selectors::parse(text).text() == text);
  CHECK(Selectors::parse("additive:*") == Selectors::parse("additive"));
  CHECK_FALSE(Selectors::parse("additive").empty());
  CHECK(contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("additive,additive:*"); }),
                 "names additive:* twice"));
  CHECK(
      contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("additive:"); }), "\"additive:\" is no name"));
  CHECK(contains(message_of<lpw::OptionError>([] { (void)Selectors::parse("additive:a:b"); }), "is no name"));
}
