// What the tests of training share: a folder of their own, the text of an exception, and a display that writes into a
// file.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <lpw/train/display.hpp>

#include "support/errors.hpp"
#include "support/files.hpp"

using lpw::test::bytes_of;
using lpw::test::contains;
using lpw::test::message_of;
using lpw::test::TemporaryFolder;
using lpw::test::text_of;

/// A display whose lines can be read back, and whose clock stands still but for wait().
class RecordedDisplay {
 public:
  using Clock = lpw::train::Display::Clock;
  RecordedDisplay() : file_(std::tmpfile()), display_(file_, [this] { return now_; }) {}
  RecordedDisplay(const RecordedDisplay&) = delete;
  RecordedDisplay& operator=(const RecordedDisplay&) = delete;
  ~RecordedDisplay() { std::fclose(file_); }
  [[nodiscard]] lpw::train::Display& get() { return display_; }
  void wait(Clock::duration time) { now_ += time; }
  /// Everything shown so far.
  [[nodiscard]] std::string text() {
    std::rewind(file_);
    std::string result;
    for (int c; (c = std::fgetc(file_)) != EOF;) result += static_cast<char>(c);
    return result;
  }

 private:
  std::FILE* file_;
  Clock::time_point now_{};
  lpw::train::Display display_;
};
