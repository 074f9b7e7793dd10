#include <lpw/train/display.hpp>

#include <cmath>

#include "catch.hpp"
#include "support.hpp"

using lpw::train::format_duration;

TEST_CASE("durations are rounded to seconds, with hours where there are any") {
  CHECK(format_duration(0) == "0:00");
  CHECK(format_duration(0.49) == "0:00");
  CHECK(format_duration(59.5) == "1:00");
  CHECK(format_duration(125) == "2:05");
  CHECK(format_duration(3599.4) == "59:59");
  CHECK(format_duration(3599.5) == "1:00:00");
  CHECK(format_duration(100 * 3600 + 62) == "100:01:02");
}

TEST_CASE("what is no duration is a dash") {
  CHECK(format_duration(-1) == "-");
  CHECK(format_duration(NAN) == "-");
  CHECK(format_duration(INFINITY) == "-");
}

TEST_CASE("a display that is no terminal shows progress only after a long silence") {
  constexpr std::chrono::seconds silence = lpw::train::Display::silence, moment{1};
  RecordedDisplay display;
  int made = 0;
  const auto progress = [&] { display.get().progress([&] { return "passing " + std::to_string(++made); }); };
  progress();
  display.get().line("one");
  progress();
  display.wait(silence - moment);
  progress();
  display.get().line("two");  // another silence begins
  display.wait(silence - moment);
  progress();
  CHECK(made == 0);
  display.wait(moment);
  progress();
  progress();
  display.wait(silence);
  progress();
  CHECK(made == 2);
  CHECK(display.text() == "one\ntwo\npassing 1\npassing 2\n");
}

TEST_CASE("nothing that a line quotes reaches a terminal but characters and ends of lines") {
  RecordedDisplay display;
  display.get().line("run folder: a\x1b[2Jb\nnext");
  CHECK(display.text() == "run folder: a\\x1b[2Jb\nnext\n");
}
