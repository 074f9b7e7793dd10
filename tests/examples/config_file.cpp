#include "config_file.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <lpw/tensor/error.hpp>

#include "catch.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

namespace {

constexpr std::string_view tokens[] = {"\n", " = ", "\"", "'",    "\\",           "#",     "[training]", "[",
                                       "]",  ",",   ".",  "\r\n", "\xef\xbb\xbf", "\"\"\""};
constexpr std::string_view tables[] = {"training", "late-phase"};

std::vector<config_file::Setting> parse(std::string_view text) { return config_file::parse(text, "f", tables); }

/// "name=value" of each setting with its line; of an array with brackets.
std::string shown(std::string_view text) {
  std::string result;
  for (const auto& setting : parse(text))
    result += lpw::to_text(setting.line, ' ', setting.name, '=', setting.array ? "[" : "", setting.value,
                           setting.array ? "]" : "", ';');
  return result;
}

std::string refusal(std::string_view text) {
  try {
    parse(text);
  } catch (const lpw::FileError& error) {
    return error.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("options in a file are TOML, in the order of the file") {
  CHECK(shown("") == "");
  CHECK(shown("\xef\xbb\xbf# of a run\r\nmodel = \"wrn-10-1\" # small\r\n\r\nepochs = 200\r\n") ==
        "2 model=wrn-10-1;4 epochs=200;");
  CHECK(shown("b = 1\na = 0.1\nc = true\nd = 'a\\b'\ne = 5e-04\nf = 1e+12\ng = -1") ==
        "1 b=1;2 a=0.1;3 c=true;4 d=a\\b;5 e=5e-04;6 f=1e+12;7 g=-1;");
  CHECK(shown("late = [\"head\", 'rank1']\nsplit = [\n 90, 5.5,\n 4.5]\n") ==
        "1 late=[head,rank1];2 split=[90,5.5,4.5];");
  CHECK(shown("seed = 1\n[late-phase]\nlate = 'head'\n[training]\nlr = 1\n") == "1 seed=1;3 late=head;5 lr=1;");
  CHECK(shown("training.lr = 1\n") == "1 lr=1;");
}

TEST_CASE("numbers in a file are what they say, and no other kind of number") {
  CHECK(shown("a = 4.0\nb = 1e3\nc = 0x10\nd = 1_000\ne = +3\nf = nan\ng = -inf\nh = -0.0\n") ==
        "1 a=4.0;2 b=1000.0;3 c=16;4 d=1000;5 e=3;6 f=nan;7 g=-inf;8 h=-0.0;");
  // Beyond TOML's integers, as files of before hold a seed.
  CHECK(shown("a = 1\nseed = 18446744073709551615\r\nb = 2") == "1 a=1;2 seed=18446744073709551615;3 b=2;");
  CHECK(shown("seed = 9223372036854775807") == "1 seed=9223372036854775807;");
}

TEST_CASE("what is no file of options is refused with its line, what is wrong, and the cure") {
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"a = 1\nepochs = four\n", "f:2: epochs = four: "},
           {"epochs\n", "f:1: epochs: "},
           {"a = 1\nepochs = 010",
            "f:2: epochs = 010: Error while parsing decimal integer: leading zeroes are prohibited; expected an option "
            "as "
            "name = value, the value a decimal number, true or false, or a \"text\" in quotes"},
           {"late = \"head\nepochs = 3\n", "f:1: "},
           {"a = '\x07'", "f:1: a = '\\x07': "},
           {"a = \"caf\xe9\"", "f:1: a = \"caf\\xe9\": "},
           {"a = 1\nb = 2\na = 3\n", "f:3: a is set in line 1 already"},
           {"a = 1\n[training]\nb = 2\nb = 3\n", "f:4: b is set in line 3 already"},
           {"a = 1\n[training]\na = 2\n", "f:3: a is set in line 1 already"},
           {"[training]\na = 1\n[late-phase]\n[training]\nb = 2\n",
            "f:4: the group [training] begins in line 1 already; put its options there"},
           {"[trainig]\n",
            "f:1: there is no group of options [trainig]; the groups are [training], [late-phase], and options stand "
            "above"},
           {"[training.more]\na = 1\n", "f:1: expected an option as name = value"},
           {"[[training]]\na = 1\n", "f:1: expected an option as name = value"},
           {"a = {b = 1}\n", "f:1: there is no group of options [a]"},
           {"a = [[1], 2]\n", "f:1: expected an option as name = value"},
           {"a = 2020-01-01\n", "f:1: expected an option as name = value"},
           {"a = \"\\u0000\"\n", "f:1: expected an option as name = value"},
           {"\"\" = 1\n", "f:1: expected an option as name = value"},
           {"\xff\xfe"
            "a",
            "f: is written in UTF-16; save it as UTF-8"},
           {"a = " + std::string(100000, '9') + "x", "f:1: a = 999"},
       }) {
    INFO(text);
    const auto message = refusal(text);
    INFO(message);
    CHECK(message.starts_with(says));
    CHECK(message.size() < 400);
    CHECK(message.find('\n') == message.npos);
  }
}

TEST_CASE("lines of options read back as what was written") {
  const auto read_back = [](const std::string& line) { return shown(line); };
  for (const std::string text :
       {"", "wrn-10-1", "a \"run\"\\ \n\t\x1b[2J\x7f'", "\xc3\xbc", "\xe2\x80\xa8", "'''", "\"\"\""}) {
    const auto line = config_file::line("name", text);
    INFO(line);
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(read_back(line) == "1 name=" + text + ";");
  }
  CHECK(config_file::line("late", std::string("batchnorm,head")) == "late = \"batchnorm,head\"\n");
  CHECK(config_file::line("lr", 5e-4) == "lr = 5e-04\n");
  CHECK(config_file::line("clip", 0.0) == "clip = 0\n");
  CHECK(config_file::line("threads", -1) == "threads = -1\n");
  CHECK(config_file::line("resume", true) == "resume = true\n");
  CHECK(config_file::line("seed", std::uint64_t{1} << 63) == "seed = \"9223372036854775808\"\n");
  CHECK(config_file::line("seed", (std::uint64_t{1} << 63) - 1) == "seed = 9223372036854775807\n");
  CHECK_THROWS_AS(config_file::line("data", std::string("caf\xe9")), lpw::OptionError);

  for (const std::string parts : {"head", "batchnorm,head", "90,5,0", "01,-1,1.0,999999999999999999", "a\"b,c\\",
                                  "1234567890123456789012,2", "head,", ",head", "a,,b", ","}) {
    const auto line = config_file::list_line("late", parts);
    INFO(line);
    const auto back = read_back(line);
    CHECK((back == "1 late=[" + parts + "];" || back == "1 late=" + parts + ";"));
  }
  CHECK(config_file::list_line("late", "batchnorm,head") == "late = [ \"batchnorm\", \"head\" ]\n");
  CHECK(config_file::list_line("split", "90,5,0") == "split = [ 90, 5, 0 ]\n");
  CHECK(config_file::list_line("late", "head") == "late = [ \"head\" ]\n");
  CHECK(read_back("late = ['', 'head']\n") == "1 late=[,head];");
  CHECK(config_file::list_line("late", "a,,b") == "late = \"a,,b\"\n");
  CHECK_THROWS_AS(config_file::list_line("late", "head,caf\xe9"), lpw::OptionError);
}

TEST_CASE("fuzz: files of options are read, or refused with the line") {
  const std::string file =
      "# The options of this run.\nmodel = \"wrn-10-1\"\nepochs = 200\nlr = 0.1 # initial\nsplit = [90, 5, "
      "5]\n[late-phase]\nlate = "
      "'batchnorm,head'\ndeterministic = false\n";
  Fuzz random(3);
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(4000); left > 0; --left) {
    const std::string input = random.damaged(file, tokens);
    try {
      for (const auto& setting : parse(input)) {
        if (setting.name.empty() || setting.line < 1) FAIL("a setting without a name or line in: " << input);
        const bool escaped = input.find('\\') != std::string::npos;
        if (!escaped && input.find(setting.name) == std::string::npos)
          FAIL("a setting that is not there in: " << input);
      }
      ++taken;
    } catch (const lpw::FileError& error) {
      ++refused;
      const std::string_view message = error.what();
      if (!message.starts_with("f:") || message.find('\n') != std::string_view::npos) FAIL(message);
    }
  }
  CHECK(refused > 0);
  if (taken + refused >= 1000) CHECK(taken > 0);
}
