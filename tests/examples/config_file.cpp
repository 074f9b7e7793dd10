#include "config_file.hpp"

#include <string>

#include "../catch.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

namespace {

constexpr std::string_view tokens[] = {"\n", " = ", "\"", "'", "\\", "#", "[section]", "\r\n", "\xef\xbb\xbf"};

}  // namespace

TEST_CASE("fuzz: files of options are read, or refused with the line") {
  const std::string file =
      "# The options of this run.\nmodel = \"wrn-10-1\"\nepochs = 200\nlr = 0.1 # initial\nlate = 'batchnorm,head'\ndeterministic = "
      "false\n";
  Fuzz random(3);
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(4000); left > 0; --left) {
    const std::string input = random.damaged(file, tokens);
    try {
      for (const auto& setting : config_file::parse(input, "f")) {
        if (setting.name.empty() || setting.line < 1) FAIL("a setting without a name or line in: " << input);
        if (input.find(setting.name) == std::string::npos) FAIL("a setting that is not there in: " << input);
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
