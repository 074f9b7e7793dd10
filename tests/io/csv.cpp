// Tables in text files: quotes, ends of lines, classes, and what is said of lines that are no numbers.
#include <lpw/io/csv.hpp>

#include <vector>

#include <lpw/data/normalization.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

TEST_CASE("a table has numbers by columns, and classes by their names") {
  const TemporaryFolder folder;
  lpw::io::write_file_atomically(
      folder / "a.csv",
      "\xef\xbb\xbfheight,\"a, \"\"b\"\"\",kind\r\n1.5, -2e3 ,oak\r\n\r\n3,4,\"ash\ntree\"\r\n5,6,oak");
  const auto table = lpw::io::read_csv(folder / "a.csv", {.label = "kind"});
  CHECK(table.columns == std::vector<std::string>{"height", "a, \"b\""});
  CHECK(table.rows == 3);
  CHECK(table.values == std::vector<float>{1.5f, -2000.f, 3.f, 4.f, 5.f, 6.f});
  CHECK(table.class_names == std::vector<std::string>{"ash\ntree", "oak"});
  CHECK(table.labels == std::vector<std::int32_t>{1, 0, 1});
  CHECK(table.row(2)[1] == 6.f);
  lpw::io::write_file_atomically(folder / "a.csv", "1;0.5;oak\n2;0.25;ash\n");
  const auto bare = lpw::io::read_csv(folder / "a.csv", {.label = "3", .separator = ';', .names = false});
  CHECK(bare.columns == std::vector<std::string>{"1", "2"});
  CHECK(bare.values == std::vector<float>{1.f, 0.5f, 2.f, 0.25f});
  CHECK(bare.labels == std::vector<std::int32_t>{1, 0});
}

TEST_CASE("a table's columns are found by name, and standardised by the samples that are trained with") {
  const TemporaryFolder folder;
  lpw::io::write_file_atomically(folder / "a.csv", "a,b\n1,5\n3,5\n9,6\n");
  auto table = lpw::io::read_csv(folder / "a.csv");
  CHECK(table.column("b") == 1);
  CHECK(message_of<lpw::OptionError>([&] { (void)table.column("c"); }) ==
        "table: there is no column of numbers called c; the first is a");
  const std::vector<std::int64_t> train{0, 1};
  const auto statistics = lpw::io::column_statistics(table, train);
  CHECK(lpw::data::describe(statistics) == "2,5/1,1");
  lpw::io::standardize(table, statistics);
  CHECK(table.values == std::vector<float>{-1, 0, 1, 0, 7, 1});
  CHECK(values_of(lpw::io::columns_of(table)) == std::vector<double>{-1, 0, 1, 0, 7, 1});
  const auto two = lpw::io::columns_of(table, {"b", "a"});
  CHECK(two.shape() == lpw::Shape{3, 2});
  CHECK(values_of(two) == std::vector<double>{0, -1, 0, 1, 1, 7});
  CHECK(contains(message_of<lpw::OptionError>([&] { (void)lpw::io::columns_of(table, {"a", "d"}); }), "called d"));
}

TEST_CASE("a table that holds something else is refused by file and line") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text) {
    lpw::io::write_file_atomically(folder / "a.csv", text);
    return message_of<lpw::FileError>([&] { (void)lpw::io::read_csv(folder / "a.csv"); });
  };
  CHECK(contains(refused(""), "a.csv: is empty; expected a line of columns' names"));
  CHECK(contains(refused("a,b\n"), "has a line of columns' names and no samples"));
  CHECK(contains(refused("a,b\n1,2\n3\n"), "a.csv:3: has 1 fields, the first line 2"));
  CHECK(contains(refused("a,b\n1,\n"), "a.csv:2: column b is empty; fill it in"));
  CHECK(contains(refused("a,b\n1,oak\n"), "a.csv:2: column b holds oak, which is no number"));
  CHECK(contains(refused("a,b\n1,nan\n"), "holds nan"));
  CHECK(contains(refused("1,-2e3\n3,4\n"), "a.csv:1: holds numbers alone, where the columns' names are expected"));
  CHECK(contains(refused("a,b\n1,\"2\n"), "a quote is not closed"));
  CHECK(contains(refused("a,b\n1,\"2\"3\n"), "something follows a closing quote"));
  lpw::io::write_file_atomically(folder / "a.csv", "a,b\n1,2\n");
  CHECK(contains(message_of<lpw::OptionError>([&] { (void)lpw::io::read_csv(folder / "a.csv", {.label = "c"}); }),
                 "there is no column c, which `label` names; the first is a"));
  lpw::io::write_file_atomically(folder / "a.csv", "a,b\n1,oak\n2, \n");
  CHECK(contains(message_of<lpw::FileError>([&] { (void)lpw::io::read_csv(folder / "a.csv", {.label = "b"}); }),
                 "a.csv:3: column b, the label, is empty; fill it in"));
  Fuzz fuzz(3);
  for (std::int64_t i = fuzz_inputs(500); i > 0; --i) (void)refused(fuzz.damaged("a,\"b\"\n1,2\n3,\"4\"\n"));
}
