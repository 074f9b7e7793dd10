#include <lpw/train/printable.hpp>

#include "catch.hpp"

using lpw::train::one_line, lpw::train::printable;

TEST_CASE("text that can be printed stays as it is") {
  for (const std::string text : {"", "plain ~!@", "Ü ± 漢字 🙂", "a\\x1b", "100 %"}) {
    CHECK(printable(text) == text);
    CHECK(one_line(text) == text);
  }
  CHECK(printable("two\nlines\tof text") == "two\nlines\tof text");
}

TEST_CASE("a single line has no ends of lines and tabs within") {
  CHECK(one_line("two\nlines\tof text\r") == "two\\x0alines\\x09of text\\x0d");
}

TEST_CASE("what moves a cursor, or is no character, is written as bytes") {
  CHECK(printable("\x1b[2J\a\b\x7f\r") == "\\x1b[2J\\x07\\x08\\x7f\\x0d");
  CHECK(printable(std::string("a\0b", 3)) == "a\\x00b");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");    // the control sequence introducer as one character
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");  // no UTF-8, and the first half of a character
  CHECK(printable("\xc0\xaf\xe0\x80\xaf") == "\\xc0\\xaf\\xe0\\x80\\xaf");  // more bytes than the character takes
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");                    // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");           // beyond the last character
}

TEST_CASE("what turns the direction of text, or ends a line, unseen is written as bytes") {
  CHECK(one_line("a\u202eb") == "a\\xe2\\x80\\xaeb");
  CHECK(one_line("a\u2028b\u200b") == "a\\xe2\\x80\\xa8b\\xe2\\x80\\x8b");
  CHECK(one_line("\ufeffa") == "\\xef\\xbb\\xbfa");
  CHECK(one_line("\u2010") == "\u2010");  // a hyphen
}
