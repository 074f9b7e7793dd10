// scripts/download_data.sh, without a network: on archives made here and fetched by file:// addresses.
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace fs = std::filesystem;

namespace {

struct Outcome {
  int status;
  std::string output;
};

class DownloadFolder {
 public:
  /// Runs a shell command in the folder and returns its exit status and everything it printed.
  [[nodiscard]] Outcome run(const std::string& command) const {
    const auto log = directory_.path() / "log";
    const int status = std::system(("cd '" + directory_.path().string() + "' && (" + command + ") >log 2>&1").c_str());
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text.str()};
  }
  [[nodiscard]] Outcome download(const std::string& arguments, const std::string& archive) const {
    return run("LPW_DATA_URL='file://" + (directory_.path() / archive).string() + "' bash '" + script_ + "' " +
               arguments);
  }
  /// From here on a copy of the script that takes the given file's sum for the published one `published`.
  void trust(const std::string& file, const std::string& published) {
    const auto [status, output] = run("sed s/" + published + "/$(md5sum '" + file + "' | cut -d' ' -f1)/ '" + script_ +
                                      "' >trusting.sh && ! cmp -s trusting.sh '" + script_ + "'");
    INFO(output);
    REQUIRE(status == 0);
    script_ = (directory_.path() / "trusting.sh").string();
  }
  [[nodiscard]] bool exists(const std::string& path) const { return fs::exists(directory_.path() / path); }
  [[nodiscard]] std::size_t entries(const std::string& path) const {
    return std::distance(fs::directory_iterator(directory_.path() / path), fs::directory_iterator());
  }

 private:
  TemporaryFolder directory_;
  std::string script_ = (fs::path(LPW_TEST_DIR) / ".." / "scripts" / "download_data.sh").string();
};

/// Says SKIPPED and returns true where a program is missing.
bool missing(const DownloadFolder& folder, const std::string& program) {
  if (folder.run("command -v " + program).status == 0) return false;
  std::cout << "SKIPPED: " << program << " is not installed\n";
  return true;
}

constexpr auto make_cifar =
    "mkdir cifar-10-batches-bin && echo test > cifar-10-batches-bin/test_batch.bin && tar -czf good.tar.gz "
    "cifar-10-batches-bin";
constexpr auto cifar10_sum = "c32a1d4ab5d03f1284b67883e8d87530", enwik8_sum = "a1fa5ffddb56f4953e226637dabbb36a";

}  // namespace

TEST_CASE("download_data explains itself and refuses other names") {
  const DownloadFolder folder;
  CHECK(folder.download("--help", "x").status == 0);
  CHECK(folder.download("cifar10", "x").status == 2);
  const auto [status, output] = folder.download("mnist data", "x");
  CHECK(status == 1);
  CHECK(output == "download_data.sh: unknown data set 'mnist': expected cifar10, cifar100 or enwik8\n");
  CHECK_FALSE(folder.exists("data"));
}

TEST_CASE("download_data keeps nothing of an archive with a wrong sum") {
  const DownloadFolder folder;
  if (missing(folder, "curl")) return;
  REQUIRE(folder.run(make_cifar).status == 0);
  for (const std::string name : {"cifar10", "cifar100"}) {
    const auto [status, output] = folder.download(name + " data", "good.tar.gz");
    CAPTURE(output);
    CHECK(status == 1);
    CHECK(contains(output, "expected MD5"));
    CHECK(folder.entries("data") == 0);
  }
}

TEST_CASE("download_data says so when there is nothing to fetch") {
  const DownloadFolder folder;
  if (missing(folder, "curl")) return;
  const auto [status, output] = folder.download("cifar10 data", "nowhere.tar.gz");
  CHECK(status == 1);
  CHECK(contains(output, "nowhere.tar.gz: could not be fetched"));
  CHECK_FALSE(folder.exists("data/cifar-10-batches-bin"));
}

TEST_CASE("download_data unpacks a good archive and continues an interrupted one") {
  DownloadFolder folder;
  if (missing(folder, "curl")) return;
  REQUIRE(folder.run(make_cifar).status == 0);
  folder.trust("good.tar.gz", cifar10_sum);
  SECTION("from nothing") {}
  SECTION("from a part") {
    REQUIRE(folder.run("mkdir data && head -c 50 good.tar.gz > data/cifar-10-binary.tar.gz.part").status == 0);
  }
  SECTION("from a whole one not yet unpacked") {
    REQUIRE(
        folder.run("mkdir -p data/cifar-10-binary.tar.gz.unpacked && cp good.tar.gz data/cifar-10-binary.tar.gz.part")
            .status == 0);
  }
  const auto [status, output] = folder.download("cifar10 data", "good.tar.gz");
  CAPTURE(output);
  CHECK(status == 0);
  CHECK(contains(output, "data/cifar-10-batches-bin is complete\nNext: build/release/examples/cifar --data /"));
  CHECK(folder.run("cmp data/cifar-10-batches-bin/test_batch.bin cifar-10-batches-bin/test_batch.bin").status == 0);
  CHECK(folder.entries("data") == 1);
  CHECK(contains(folder.download("cifar10 data", "nowhere").output, "is there already"));
}

TEST_CASE("download_data leaves a foreign folder alone") {
  const DownloadFolder folder;
  REQUIRE(folder.run("mkdir -p data/cifar-10-batches-bin && echo mine > data/cifar-10-batches-bin/mine").status == 0);
  const auto [status, output] = folder.download("cifar10 data", "nowhere");
  CHECK(status == 1);
  CHECK(contains(output, "is in the way"));
  CHECK(folder.exists("data/cifar-10-batches-bin/mine"));
}

TEST_CASE("download_data checks the text of enwik8") {
  DownloadFolder folder;
  if (missing(folder, "curl") || missing(folder, "unzip") || missing(folder, "zip")) return;
  REQUIRE(folder.run("echo text > enwik8 && zip -q good.zip enwik8 && echo other > enwik9 && zip -q other.zip enwik9")
              .status == 0);
  for (const auto& [archive, says] : {std::pair{"good.zip", "expected MD5"},
                                      {"enwik8", "not a whole zip archive"},
                                      {"other.zip", "no file enwik8"}}) {
    const auto [status, output] = folder.download("enwik8 data", archive);
    CAPTURE(output);
    CHECK(status == 1);
    CHECK(contains(output, says));
    CHECK(folder.entries("data") == 0);
  }
  folder.trust("enwik8", enwik8_sum);
  const auto [status, output] = folder.download("enwik8 data", "good.zip");
  CAPTURE(output);
  CHECK(status == 0);
  CHECK(contains(output, "data/enwik8 is complete\nNext: build/release/examples/enwik8 --data /"));
  CHECK(folder.run("cmp data/enwik8 enwik8").status == 0);
  CHECK(folder.entries("data") == 1);
}
