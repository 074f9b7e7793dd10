// A message is that of the exception asked for; any other passes through, and none is "".
#include "support/errors.hpp"

#include <stdexcept>

#include <lpw/tensor/error.hpp>

#include "catch.hpp"

using namespace lpw::test;

TEST_CASE("message_of: the exception asked for, no other", "[support]") {
  CHECK(message_of<lpw::ShapeError>([] { lpw::require<lpw::ShapeError>(false, "x is ", 3); }) == "x is 3");
  CHECK(message_of<lpw::Error>([] { lpw::require<lpw::ShapeError>(false, "x"); }) == "x");
  CHECK(message_of<lpw::Error>([] {}) == "");
  CHECK_THROWS_AS(message_of<lpw::Error>([] { throw std::runtime_error("other"); }), std::runtime_error);
}
