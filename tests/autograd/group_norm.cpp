// Layer norm and group norm as operations; the primitives' gradients of every type are in tests/cpu/group_norm.cpp.
#include <lpw/autograd/group_norm.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// y of either norm in plain loops: samples [K, S, P, C] in groups.
std::vector<double> plain_norm(const DoubleTensor& x, const DoubleTensor& gamma, const DoubleTensor& beta,
                               std::int64_t samples, std::int64_t groups, double epsilon) {
  const std::int64_t channels = x.shape()[-1], places = x.size() / (x.dim(0) * samples * channels),
                     width = channels / groups;
  std::vector<double> y(std::size_t(x.size()));
  for (std::int64_t i = 0; i < x.dim(0) * samples; ++i)
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto at = [&](std::int64_t p, std::int64_t c) { return (i * places + p) * channels + g * width + c; };
      const double n = double(places * width);
      double mean = 0, variance = 0;
      for (std::int64_t p = 0; p < places; ++p)
        for (std::int64_t c = 0; c < width; ++c) mean += x.data()[at(p, c)] / n;
      for (std::int64_t p = 0; p < places; ++p)
        for (std::int64_t c = 0; c < width; ++c) variance += std::pow(x.data()[at(p, c)] - mean, 2) / n;
      for (std::int64_t p = 0; p < places; ++p)
        for (std::int64_t c = 0; c < width; ++c) {
          const std::int64_t k = i / samples, channel = g * width + c;
          const double scale = gamma.row(gamma.dim(0) == 1 ? 0 : k)[channel],
                       shift = beta.row(beta.dim(0) == 1 ? 0 : k)[channel];
          y[std::size_t(at(p, c))] = scale * (x.data()[at(p, c)] - mean) / std::sqrt(variance + epsilon) + shift;
        }
    }
  return y;
}

}  // namespace

TEST_CASE("layer_norm: each row by itself, with parameters shared or of each member", "[group_norm]") {
  for (const Shape& shape : {Shape{1, 5}, Shape{3, 4, 6}, Shape{2, 3, 2, 5}})
    for (const std::int64_t rows : {std::int64_t{1}, shape[0]}) {
      INFO(shape << " rows " << rows);
      const auto x = random_tensor<double>(shape, 1), gamma = random_tensor<double>({rows, shape[-1]}, 2),
                 beta = random_tensor<double>({rows, shape[-1]}, 3);
      const Tape tape;
      const auto y = layer_norm(tape.input(x), tape.input(gamma), tape.input(beta), {.epsilon = 1e-3}).value();
      CHECK(y.shape() == shape);
      const std::int64_t samples = shape.size() / (shape[0] * shape[-1]);
      // means of six terms, a root and a quotient
      CHECK(largest_difference(values_of(y), plain_norm(x, gamma, beta, samples, 1, 1e-3)) <= 100 * epsilon<double>());
    }
}

TEST_CASE("group_norm: each sample's groups of channels", "[group_norm]") {
  for (const std::int64_t groups : {1, 2, 3, 6})
    for (const std::int64_t rows : {1, 3}) {
      INFO("groups " << groups << " rows " << rows);
      const Shape shape{3, 2, 3, 2, 6};
      const auto x = random_tensor<double>(shape, 1), gamma = random_tensor<double>({rows, 6}, 2),
                 beta = random_tensor<double>({rows, 6}, 3);
      const Tape tape;
      const auto y = group_norm(tape.input(x), groups, tape.input(gamma), tape.input(beta)).value();
      CHECK(largest_difference(values_of(y), plain_norm(x, gamma, beta, 2, groups, 1e-5)) <= 100 * epsilon<double>());
    }
}

TEST_CASE("layer_norm and group_norm: gradients of input and parameters", "[group_norm]") {
  for (const std::int64_t rows : {1, 3}) {
    INFO("rows " << rows);
    expect_gradient(
        "layer_norm", [](const auto& in) { return layer_norm(in[0], in[1], in[2], {.epsilon = 0.1}); },
        random_inputs({{3, 4, 5}, {rows, 5}, {rows, 5}}));
    for (const std::int64_t groups : {1, 2, 4})
      expect_gradient(
          "group_norm", [&](const auto& in) { return group_norm(in[0], groups, in[1], in[2], {.epsilon = 0.1}); },
          random_inputs({{3, 2, 2, 3, 4}, {rows, 4}, {rows, 4}}));
  }
}

TEMPLATE_TEST_CASE("layer_norm and group_norm: a large mean costs no digits", "[group_norm]", float, double) {
  const auto plain = random_tensor<double>({2, 3, 4, 4, 8}, 1);
  auto lifted = converted<TestType>(plain);
  const double lift = 4096;
  for (std::int64_t i = 0; i < lifted.size(); ++i) lifted.data()[i] += TestType(lift);
  auto x = converted<double>(lifted);  // as it was rounded, without the mean, which is exact
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] -= lift;
  const auto ones = full<TestType, Cpu>({1, 8}, TestType(1)), nothing = zeros<TestType, Cpu>({1, 8});
  const auto gamma = converted<double>(ones), beta = converted<double>(nothing);
  const Tape tape;
  // The mean is rounded to 4096 epsilon, and divided by a deviation of 0.6.
  const double tolerance = 2 * lift * epsilon<TestType>();
  CHECK(largest_difference(values_of(group_norm(tape.input(lifted), 2, tape.input(ones), tape.input(nothing)).value()),
                           plain_norm(x, gamma, beta, 3, 2, 1e-5)) <= tolerance);
  CHECK(largest_difference(values_of(layer_norm(tape.input(lifted), tape.input(ones), tape.input(nothing)).value()),
                           plain_norm(x, gamma, beta, 48, 1, 1e-5)) <= tolerance);
}

TEST_CASE("layer_norm and group_norm: a constant sample gives beta, NaN stays in its sample", "[group_norm]") {
  auto x = full<float, Cpu>({1, 3, 4}, 1234.56f);
  x.data()[5] = std::nanf("");
  const auto gamma = random_tensor<float>({1, 4}, 1), beta = random_tensor<float>({1, 4}, 2);
  const Tape tape;
  const auto y = layer_norm(tape.input(x), tape.input(gamma), tape.input(beta)).value();
  for (std::int64_t i = 0; i < 12; ++i) {
    if (i / 4 == 1) {
      CHECK(std::isnan(y.data()[i]));
    } else {
      CHECK(y.data()[i] == beta.data()[i % 4]);
    }
  }
}

TEST_CASE("group_norm: the same bits on any number of threads", "[group_norm]") {
  CHECK(same_on_any_threads([] {
    const auto x = random_tensor<float>({2, 40, 8, 8, 12}, 1), gamma = random_tensor<float>({2, 12}, 2);
    Tape tape;
    const auto dx = zeros<float, Cpu>(x.shape()), dgamma = zeros<float, Cpu>({2, 12});
    const auto y = group_norm(tape.leaf(x, dx), 3, tape.leaf(gamma, dgamma), tape.input(gamma));
    std::vector<std::vector<double>> all{values_of(y.value())};
    backward_of_sum(tape, y);
    all.push_back(values_of(dx));
    all.push_back(values_of(dgamma));
    return all;
  }));
}

TEST_CASE("layer_norm and group_norm: what cannot be", "[group_norm]") {
  const Tape tape;
  const auto input = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK(message_of<ShapeError>([&] {
          (void)layer_norm(input({2, 3, 4}), input({1, 3}), input({1, 4}));
        }) == "layer_norm: x has 4 channels [2 3 4], gamma and beta are [K=1 C=3] and [K=1 C=4]");
  CHECK(message_of<ShapeError>([&] {
          (void)layer_norm(input({2, 3, 4}), input({3, 4}), input({1, 4}));
        }) == "layer_norm: gamma or beta has 3 member rows, the input has K=2 members; expected 1 (shared) or 2");
  CHECK(message_of<ShapeError>([&] {
          (void)group_norm(input({2, 4}), 2, input({1, 4}), input({1, 4}));
        }) == "group_norm: expected x [K B ... C], got [2 4]; K is the axis of the members, 1 for a plain network");
  for (const std::int64_t groups : {0, 3})
    CHECK(message_of<OptionError>([&] {
            (void)group_norm(input({2, 3, 4}), groups, input({1, 4}), input({1, 4}));
          }) == to_text("group_norm: ", groups, " groups of 4 channels; expected a number that divides them"));
  const auto x = input({2, 3, 4}), row = input({1, 4});
  CHECK(message_of<OptionError>([&] { (void)layer_norm(x, row, row, {.epsilon = -1e-3}); }) ==
        "layer_norm: epsilon -0.001; expected a number of 0 or more");
  CHECK(message_of<OptionError>([&] { (void)group_norm(x, 2, row, row, {.epsilon = std::nan("")}); }) ==
        "group_norm: epsilon nan; expected a number of 0 or more");
}
