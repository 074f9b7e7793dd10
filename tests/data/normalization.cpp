// What pixels are normalised by, as texts.
#include <lpw/data/normalization.hpp>

#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

using namespace lpw::data;

TEST_CASE("normalization: names, and numbers for each channel or for all") {
  const auto imagenet = parse_normalization("imagenet");
  CHECK((imagenet.mean == std::vector<float>{0.485f, 0.456f, 0.406f}));
  CHECK((imagenet.stddev == std::vector<float>{0.229f, 0.224f, 0.225f}));
  CHECK(describe(imagenet) == "0.485,0.456,0.406/0.229,0.224,0.225");
  CHECK(describe(parse_normalization("cifar10")) == "0.4914,0.4822,0.4465/0.247,0.2435,0.2616");
  CHECK(describe(parse_normalization("0.5/0.25")) == "0.5,0.5,0.5/0.25,0.25,0.25");
  CHECK(describe(parse_normalization("0/1,2", 2)) == "0,0/1,2");
  const Normalization odd{{0.1f / 3, -7e-9f}, {1.f / 3, 2e30f}};
  const auto read = parse_normalization(describe(odd), 2);
  CHECK((read.mean == odd.mean && read.stddev == odd.stddev));
}

TEST_CASE("normalization: constants that are rounded are the same") {
  const auto imagenet = parse_normalization("imagenet");
  CHECK(same(imagenet, parse_normalization("0.4855,0.4565,0.4060/0.2290,0.2242,0.2251")));
  CHECK_FALSE(same(imagenet, parse_normalization("cifar10")));
  CHECK_FALSE(same(imagenet, parse_normalization("0.485,0.456,0.406/0.229,0.224,0.228")));
  CHECK_FALSE(same(imagenet, parse_normalization("0.5/0.5", 1)));
  auto broken = imagenet;
  broken.mean[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(same(imagenet, broken));
}

TEST_CASE("normalization: other texts are refused") {
  for (const std::string text : {"", "/", "0.5", "0.5/", "/0.5", "0.5/0", "0.5/-1", "1,2/1", "1,2,3,4/1", "0.5/x",
                                 "nan/1", "0.5/inf", "0.5/0.5/0.5", "Imagenet", "0.5 / 0.5"})
    CHECK(
        message_of<lpw::OptionError>([&] { (void)parse_normalization(text); }) ==
        "expected imagenet, cifar10, or MEAN/STD of pixels in [0, 1], 3 numbers each joined by commas, or one, such as "
        "0.5/0.25; found " +
            text);
  CHECK_THROWS_AS(parse_normalization("imagenet", 1), lpw::OptionError);
}
