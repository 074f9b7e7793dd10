#include "option_table.hpp"

#include <string>

#include "catch.hpp"

namespace {

struct Options {
  std::int64_t chunk = 0;
  double lr = 0;
  std::string out;

  [[nodiscard]] bool evaluates_model() const { return false; }
};

const example::OptionTable<Options> table{
    {.name = "member-chunk", .member = &Options::chunk, .help = "", .section = example::Section::run},
    {.name = "lr", .member = &Options::lr, .help = "", .section = example::Section::run, .field = "learning_rate"},
    {.name = "out", .member = &Options::out, .help = "", .section = example::Section::run}};

std::string translated(std::string_view message) { return example::with_option_names(table, message); }

}  // namespace

TEST_CASE("fields that a message of the library names become the options of the program") {
  CHECK(translated("lower `member_chunk`, or `learning_rate`; choose another `out`") ==
        "lower --member-chunk, or --lr; choose another --out");
  CHECK(translated("`lr`") == "--lr");
  CHECK(translated("") == "");
}

TEST_CASE("what is no option stays as it is") {
  CHECK(translated("/a`b/c: `convert` it, or `out") == "/a`b/c: `convert` it, or `out");
  CHECK(translated("a `window`, ``") == "a `window`, ``");
  CHECK(translated("`resume``out`") == "`resume`--out");
}
