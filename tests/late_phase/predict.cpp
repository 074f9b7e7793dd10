// Member and ensemble predictions against plain loops over members and samples.
#include <lpw/late_phase/predict.hpp>

#include <lpw/autograd/arithmetic.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

/// softmax of row b of logits [1, B, classes].
std::vector<double> softmax(const Rows<double>& logits, std::int64_t b) {
  const auto classes = static_cast<std::size_t>(logits.shape[2]);
  std::vector<double> p(classes);
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c)
    sum += p[c] = std::exp(logits.values[static_cast<std::size_t>(b) * classes + c]);
  for (double& value : p) value /= sum;
  return p;
}

/// Member k's weights and statistics in a plain network.
template <class M>
M plain_of(M& released, std::int64_t k, M plain) {
  const auto state = state_of(released);
  const auto take = [&](const std::string& name, auto& member) {
    const auto& rows = state.at(name);
    const auto row = rows.row(rows.shape[0] == 1 ? 0 : k);
    std::copy(row.begin(), row.end(), member.value().data());
  };
  lpw::nn::for_each_parameter(plain, take);
  lpw::nn::for_each_buffer(plain, take);
  return plain;
}

}  // namespace

TEST_CASE("predict: every member predicts as a plain network with its weights, the ensemble as their mean",
          "[late_phase]") {
  constexpr std::int64_t members = 3, samples = 5;
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 2);
  lpw::release(network, optimizer, {.members = members, .late = Group::batch_norm | Group::head});
  train(network, optimizer, 3, 10);  // each member on minibatches of its own
  const Minibatches<double> test(1, samples, 99);

  const auto probabilities = lpw::predict_members(network, test.images);
  const auto ensemble = lpw::predict_ensemble(network, test.images);
  REQUIRE(probabilities.shape() == Shape{members, samples, 3});
  REQUIRE(ensemble.shape() == Shape{samples, 3});
  std::vector<double> mean(15, 0.0);
  for (std::int64_t k = 0; k < members; ++k) {
    auto plain = plain_of(network, k, SmallNet<double>());
    const auto logits = logits_of(plain, test.images);
    for (std::int64_t b = 0; b < samples; ++b) {
      const auto expected = softmax(logits, b);
      for (std::size_t c = 0; c < 3; ++c) {
        const auto at = static_cast<std::size_t>(b) * 3 + c;
        CHECK(std::abs(probabilities.row(k)[at] - expected[c]) < 1e-14);  // values below 1, a few roundings
        mean[at] += expected[c] / members;
      }
    }
  }
  for (std::size_t i = 0; i < mean.size(); ++i) CHECK(std::abs(ensemble.data()[i] - mean[i]) < 1e-14);
  for (std::int64_t k = 1; k < members; ++k)
    CHECK(relative_difference(rows_of(probabilities).row(k), rows_of(probabilities).row(0)) > 1e-3);
}

TEST_CASE("predict: a plain network is an ensemble of one", "[late_phase]") {
  auto network = wide_resnet<float>();
  const Minibatches<float> test(1, 4, 1);
  const auto members = lpw::predict_members(network, test.images),
             ensemble = lpw::predict_ensemble(network, test.images);
  CHECK(members.shape() == Shape{1, 4, 3});
  CHECK(rows_of(members).values == rows_of(ensemble).values);
  for (std::int64_t b = 0; b < 4; ++b) {
    const double* p = ensemble.row(b);
    CHECK(std::abs(p[0] + p[1] + p[2] - 1) < 1e-14);
  }
}

TEST_CASE("predict: changes nothing and sees no dropout", "[late_phase]") {
  auto network = wide_resnet<float>(0.5);
  lpw::release(network, {.members = 2, .late = Group::rank_one, .sigma = 0.1});
  const auto before = state_of(network);
  const Minibatches<float> test(1, 4, 2);
  const auto first = rows_of(lpw::predict_members(network, test.images));
  CHECK(rows_of(lpw::predict_members(network, test.images)) == first);
  CHECK(state_of(network) == before);
}

TEST_CASE("predict: inputs of several members are refused", "[late_phase]") {
  auto network = wide_resnet<float>();
  lpw::release(network, {.members = 2});
  CHECK(message_of<lpw::ShapeError>([&] { (void)lpw::predict_members(network, Minibatches<float>(2, 4, 0).images); }) ==
        "predict_members: expected inputs [1 B ...], shared by all members, got [2 4 8 8 3]");
  CHECK_THROWS_AS(lpw::predict_members(network, lpw::Tensor<float, Cpu>({1})), lpw::ShapeError);
}

TEST_CASE("outputs_of_members: of several inputs and of any shape, each member's own and their mean", "[late_phase]") {
  auto network = SmallNet<double>();
  lpw::release(network, {.members = 3, .late = Group::batch_norm | Group::head, .sigma = 0.1});
  const Minibatches<double> left(1, 4, 1), right(1, 4, 2);
  const auto outputs = lpw::outputs_of_members(network, [&](const lpw::Tape& tape) {
    return sub(network.forward(tape.input(left.images)), network.forward(tape.input(right.images)));
  });
  REQUIRE(outputs.shape() == Shape{3, 4, 3});
  const auto mean = lpw::mean_of(outputs);
  REQUIRE(mean.shape() == Shape{4, 3});
  for (std::int64_t k = 0; k < 3; ++k) {
    auto plain = plain_of(network, k, SmallNet<double>());
    const auto a = logits_of(plain, left.images), b = logits_of(plain, right.images);
    for (std::size_t i = 0; i < 12; ++i)  // a few roundings of numbers of the order of 1
      CHECK(std::abs(outputs.row(k)[i] - (a.values[i] - b.values[i])) < 1e-13);
  }
  for (std::int64_t i = 0; i < 12; ++i) {
    const double expected = (outputs.row(0)[i] + outputs.row(1)[i] + outputs.row(2)[i]) / 3;
    CHECK(std::abs(mean.data()[i] - expected) < 1e-14);
  }
  CHECK(message_of<lpw::ShapeError>([&] {
          (void)lpw::outputs_of_members(network, [&](const lpw::Tape& tape) {
            return tape.input(lpw::Tensor<double, Cpu>({2, 4}));
          });
        }) == "outputs_of_members: expected outputs [1 ...] of one member, got [2 4]");
}
