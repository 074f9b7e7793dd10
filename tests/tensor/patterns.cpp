#include <catch.hpp>

#include <lpw/tensor/patterns.hpp>

using lpw::close_names, lpw::matches, lpw::renamed;
using Names = std::vector<std::string>;

TEST_CASE("patterns: a star is any run of characters, everything else itself", "[tensor]") {
  CHECK(matches("fc.weight", "fc.weight"));
  CHECK_FALSE(matches("fc.weight", "fc.weigh"));
  CHECK_FALSE(matches("fc.weight", "c.weight"));
  CHECK(matches("layer3.0.conv1.weight", "layer3.*"));
  CHECK_FALSE(matches("layer31.0.conv1.weight", "layer3.*"));
  CHECK(matches("layer3.0.conv1.weight", "*.weight"));
  CHECK(matches("layer3.0.conv1.weight", "layer3.*.weight"));
  CHECK_FALSE(matches("layer3.0.conv1.bias", "layer3.*.weight"));
  CHECK(matches("layer3.0.bn1.bias", "*.bn*.*"));
  CHECK_FALSE(matches("layer3.0.conv1.bias", "*.bn*.*"));
  CHECK(matches("", ""));
  CHECK(matches("", "*"));
  CHECK_FALSE(matches("a", ""));
  CHECK(matches("a", "**"));
  CHECK_FALSE(matches("aba", "ab*ba"));  // no character serves twice
  CHECK(matches("abcabd", "*abd"));      // the first "ab" is not the last
  CHECK(matches("fc+weight", "fc+*"));   // no other character is special
  CHECK_FALSE(matches("fc.weight", "fc.w?ight"));
}

TEST_CASE("patterns: a new name takes over what the stars matched", "[tensor]") {
  CHECK(renamed("module.fc.weight", "module.*", "*") == "fc.weight");
  CHECK(renamed("fc.weight", "module.*", "*") == std::nullopt);
  CHECK(renamed("block.0.conv.weight", "block.*.conv.*", "layer*.conv1.*") == "layer0.conv1.weight");
  CHECK(renamed("head.bias", "head.bias", "fc.bias") == "fc.bias");
  CHECK(renamed("a.b.c", "*.*", "*/*") == "a/b.c");
  CHECK(renamed("a.b", "a.*", "c") == "c");
  CHECK(renamed("a", "a", "b*") == "b");
}

TEST_CASE("patterns: close names are those a typing error or a part of a name away", "[tensor]") {
  const Names known{"conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight", "fc.weight", "fc.bias"};
  CHECK(close_names("fc.wieght", known) == Names{"fc.weight"});
  CHECK(close_names("fc.bais", known) == Names{"fc.bias"});
  CHECK(close_names("layer2.*", known) == Names{"layer1.0.conv1.weight", "layer3.0.conv1.weight"});
  CHECK(close_names("layer3", known) == Names{"layer3.0.conv1.weight"});
  CHECK(close_names("module.fc.weight", known) == Names{"fc.weight"});
  CHECK(close_names("embedding", known).empty());
  CHECK(close_names("", known).empty());
  CHECK(close_names("*", known).empty());
  CHECK(close_names("x", {}).empty());
  CHECK(close_names("rate", {"date", "fate", "rates", "rat"}).size() == 3);
}

TEST_CASE("patterns: names are listed as a sentence has them", "[tensor]") {
  CHECK(lpw::quoted_list({}).empty());
  CHECK(lpw::quoted_list({"a"}) == "'a'");
  CHECK(lpw::quoted_list({"a", "b"}) == "'a' and 'b'");
  CHECK(lpw::quoted_list({"a", "b", "c"}) == "'a', 'b' and 'c'");
  CHECK(lpw::quoted_list({"a", "b", "c"}, 2) == "'a', 'b' and 1 more");
}
