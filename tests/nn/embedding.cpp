#include <lpw/nn/embedding.hpp>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include "catch.hpp"
#include "support/backward.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("Embedding: rows of a normal table, with a gradient where indices were", "[embedding]") {
  nn::Initializer init(Philox{1});
  nn::Embedding<float, Cpu> module({.vocabulary = 256, .features = 40}, init);
  std::string names;
  nn::for_each_parameter(module, [&](const std::string& name, auto&) { names += name; });
  CHECK(names == "weight");
  CHECK(module.weight.shape() == Shape{256, 40});
  double sum = 0, square = 0;
  for (const double w : values_of(module.weight.value())) sum += w, square += w * w;
  // Five standard deviations of the mean and of the variance of 10240 normal numbers.
  CHECK(std::abs(sum / 10240) <= 5 / std::sqrt(10240.0));
  CHECK(std::abs(square / 10240 - 1) <= 5 * std::sqrt(2 / 10240.0));

  Tape tape;
  const std::vector<std::int32_t> places{7, 255, 7};
  const auto y = module.forward(tape.input(tensor_of<std::int32_t>({1, 3}, places)));
  CHECK(values_of(y.value())[40 + 39] == double(module.weight.value().data()[255 * 40 + 39]));
  backward_of_sum(tape, y);
  CHECK(module.weight.gradient().data()[7 * 40] == 2);
  CHECK(module.weight.gradient().data()[255 * 40 + 1] == 1);
  CHECK(module.weight.gradient().data()[8 * 40] == 0);
}

TEST_CASE("Embedding: its deviation scales the table, which a decoder may share", "[embedding]") {
  const auto table = [](double deviation) {
    nn::Initializer init(Philox{1});
    return nn::Embedding<double, Cpu>({.vocabulary = 5, .features = 16, .deviation = deviation}, init).weight;
  };
  const auto scaled = table(0.25), whole = table(1);
  for (std::int64_t i = 0; i < 5 * 16; ++i) CHECK(scaled.value().data()[i] == 0.25 * whole.value().data()[i]);
}

TEST_CASE("Embedding: made of templates it starts as large as the bank says", "[embedding]") {
  const auto variance = [](double deviation) {
    nn::Initializer init(Philox(1));
    nn::Embedding<double, Cpu> module({.vocabulary = 256, .features = 40}, init);
    nn::share_templates<double, Cpu>({&module.weight}, {.templates = 8, .deviation = deviation}, init);
    double square = 0;
    for (const double w : values_of(module.weight.on(Tape().input(zeros<double, Cpu>({1, 1}))).rows.value()))
      square += w * w;
    return square / 10240;
  };
  // The one layer's coefficients have norm 1. Five standard deviations of the variance of 10240 normal numbers.
  const double tolerance = 5 * std::sqrt(2 / 10240.0);
  CHECK(std::abs(variance(1) - 1) <= tolerance);           // N(0, 1), as without templates
  CHECK(std::abs(variance(0) * 40 / 2 - 1) <= tolerance);  // He-normal over 40 inputs, which a look-up does not sum
}

TEST_CASE("Embedding refuses impossible shapes", "[embedding]") {
  nn::Initializer init(Philox{1});
  CHECK_THROWS_WITH((nn::Embedding<float, Cpu>({.vocabulary = 0, .features = 3}, init)),
                    "Embedding: vocabulary 0 and features 3 must be positive");
  CHECK_THROWS_WITH((nn::Embedding<float, Cpu>({.vocabulary = 2, .features = 3, .deviation = -1}, init)),
                    "Embedding: deviation -1; expected a number above 0");
}
