// What a loop of one's own shows: a line for each epoch in a pipe, and one that is redrawn on a terminal.
#include <lpw/train/loop_progress.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>

#include "catch.hpp"
#include "support.hpp"

using lpw::train::LoopProgress;

namespace {

/// A file or terminal that progress goes to, with a clock that stands still but for wait().
struct Shown {
  LoopProgress::Clock::time_point now{};
  [[nodiscard]] auto clock() {
    return [this] { return now; };
  }
  void wait(double seconds) {
    now += std::chrono::duration_cast<LoopProgress::Clock::duration>(std::chrono::duration<double>(seconds));
  }
};

std::string content_of(std::FILE* file) {
  std::rewind(file);
  std::string result;
  for (int c; (c = std::fgetc(file)) != EOF;) result += static_cast<char>(c);
  return result;
}

}  // namespace

TEST_CASE("loop progress: a pipe gets a line for each epoch, with rate, time and time to the end") {
  Shown shown;
  std::FILE* file = std::tmpfile();
  LoopProgress progress({.epochs = 3, .samples = 100, .unit = "images"}, file, shown.clock());
  const float losses[] = {1, 3};
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int i = 0; i < 4; ++i) {
      shown.wait(0.5);
      progress.step(25, lpw::tensor_of<float>({2}, losses));
    }
    if (epoch == 1) progress.line("released");
    shown.wait(epoch == 0 ? 0 : 2);  // a test, which the rate leaves out
    progress.end_epoch(epoch == 0 ? "" : "test 0.9");
  }
  CHECK(content_of(file) ==
        "epoch 1/3  loss 2.0000  50 images/s  2.0 s  ETA 0:04\n"
        "released\n"
        "epoch 2/3  loss 2.0000  test 0.9  50 images/s  4.0 s  ETA 0:03\n"
        "epoch 3/3  loss 2.0000  test 0.9  50 images/s  4.0 s  ETA 0:00\n");
  std::fclose(file);
}

TEST_CASE("loop progress: a loop that was resumed in the middle of an epoch has the rest of it before it") {
  Shown shown;
  std::FILE* file = std::tmpfile();
  LoopProgress progress({.epochs = 3, .samples = 100, .first_epoch = 1, .first_iteration = 3, .first_samples = 75},
                        file, shown.clock());
  shown.wait(400), progress.step(5, 2.0);
  shown.wait(1), progress.step(20, 2.0);
  progress.end_epoch();
  CHECK(content_of(file) ==  // 80 s a sample, of which there are 20 of this epoch and 100 of the last
        "epoch 2/3  iteration 4  0 samples/s  ETA 2:40:00  loss 2.0000\n"
        "epoch 2/3  loss 2.0000  0 samples/s  401.0 s  ETA 26:44\n");
  std::fclose(file);
  CHECK(message_of<lpw::OptionError>([&] { LoopProgress({.first_iteration = -1}); }) ==
        "progress: begins at epoch 0, iteration -1 after 0 of its samples; expected 0 or more of each");
}

TEST_CASE("loop progress: a long epoch shows signs of life in a pipe") {
  Shown shown;
  std::FILE* file = std::tmpfile();
  LoopProgress progress({.epochs = 10, .samples = 1000, .first_epoch = 4}, file, shown.clock());
  shown.wait(299), progress.step(100);
  shown.wait(1), progress.step(200, 0.5);
  shown.wait(1), progress.step(200, 0.5);
  CHECK(content_of(file) == "epoch 5/10  iteration 2  1 samples/s  ETA 1:35:00  loss 0.5000\n");
  std::fclose(file);
}

TEST_CASE("loop progress: without the samples of an epoch there is no time to the end, and without losses none") {
  Shown shown;
  std::FILE* file = std::tmpfile();
  LoopProgress progress({.epochs = 2}, file, shown.clock());
  shown.wait(2), progress.step(7);
  progress.end_epoch();
  CHECK(content_of(file) == "epoch 1/2  4 samples/s  2.0 s  ETA -\n");
  std::fclose(file);
  CHECK(message_of<lpw::OptionError>([&] { LoopProgress({.epochs = 0}); }) ==
        "progress: 0 epochs of 0 samples; expected at least one epoch, and 0 samples or more");
}

TEST_CASE("loop progress: a terminal has a line that is redrawn") {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) {
    WARN("SKIPPED: there are no terminals here");
    return;
  }
  std::FILE* file = std::fopen(ptsname(terminal), "w");
  REQUIRE(file != nullptr);
  Shown shown;
  LoopProgress progress({.epochs = 2, .samples = 100}, file, shown.clock());
  shown.wait(1), progress.step(50, 0.25);
  progress.step(50, 0.75);  // too early to be drawn
  progress.end_epoch();
  std::string shown_text;
  char part[1000];
  while (!shown_text.ends_with("\n")) {  // what is written arrives in pieces
    const auto count = read(terminal, part, sizeof part);
    REQUIRE(count > 0);
    shown_text.append(part, static_cast<std::size_t>(count));
  }
  CHECK(shown_text ==
        "\r\x1b[Kepoch 1/2  iteration 1  50 samples/s  ETA 0:03  loss 0.2500"
        "\r\x1b[Kepoch 1/2  loss 0.5000  100 samples/s  1.0 s  ETA 0:01\r\n");
  std::fclose(file);
  close(terminal);
}
