#include <lpw/tensor/parse_double.hpp>

#include "catch.hpp"

using lpw::parse_double;

TEST_CASE("a number is read as a whole, with a point, in any locale") {
  const std::locale before = std::locale();
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
  };
  std::locale::global(std::locale(before, new Comma));
  CHECK(parse_double("0.5") == 0.5);
  CHECK(parse_double("-1e-3") == -1e-3);
  CHECK(parse_double("12") == 12.0);
  CHECK(parse_double("1.7976931348623157e308") == 1.7976931348623157e308);
  for (const char* text : {"", " 1", "1 ", "+1", "0,5", "1.5x", "1e", "0x10", "1e400", "-", "one"}) {
    INFO(text);
    CHECK(!parse_double(text));
  }
  std::locale::global(before);
}
