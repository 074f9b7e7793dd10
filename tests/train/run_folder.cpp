#include <lpw/train/run_folder.hpp>

#include <optional>

#include "catch.hpp"
#include "support.hpp"

using lpw::FileError;
using lpw::train::RunFolder;

namespace {

void put(const std::filesystem::path& path) { lpw::io::write_file_atomically(path, std::string_view("content")); }

std::string folder_refusal(const std::filesystem::path& path, bool resume) {
  return message_of<FileError>([&] { RunFolder(path, resume); });
}

}  // namespace

TEST_CASE("a run folder is made with the folders above it, and may be empty") {
  const TemporaryFolder folder;
  const auto path = folder / "a/b/run";
  CHECK(folder_refusal(path, false).empty());
  CHECK(std::filesystem::is_directory(path));
  CHECK(folder_refusal(path, false).empty());
  CHECK(folder_refusal(path, true).empty());
  CHECK(std::filesystem::is_empty(path));
}

TEST_CASE("a folder that holds a run is only resumed") {
  const TemporaryFolder folder;
  put(folder / "checkpoint.lpw");
  CHECK(folder_refusal(folder.path(), false) ==
        folder.path().string() + ": holds a run already; continue it with `resume` or choose another `path`");
  CHECK(folder_refusal(folder.path(), true).empty());
  CHECK(RunFolder(folder.path(), true).has_checkpoint());
}

TEST_CASE("results without their checkpoint are not overwritten") {
  for (const char* name : {"metrics.csv", "summary.json", "model.safetensors"}) {
    const TemporaryFolder folder;
    put(folder / name);
    for (const bool resume : {false, true})
      CHECK(contains(folder_refusal(folder.path(), resume), std::string(name) + ": is the result of a run"));
  }
}

TEST_CASE("what a run killed before its first checkpoint leaves is no run") {
  const TemporaryFolder folder;
  put(folder / "config.toml");
  put(folder / "checkpoint.lpw.tmp");
  CHECK(folder_refusal(folder.path(), false).empty());
}

TEST_CASE("two runs at a time cannot have one folder") {
  const TemporaryFolder folder;
  std::optional<RunFolder> first(std::in_place, folder.path(), false);
  CHECK(folder_refusal(folder.path(), true) ==
        folder.path().string() + ": another process is training in this folder; choose another `path`");
  first.reset();
  CHECK(folder_refusal(folder.path(), true).empty());
}

TEST_CASE("a file in the way of a run folder is named") {
  const TemporaryFolder folder;
  put(folder / "file");
  CHECK(contains(folder_refusal(folder / "file", false), "file: cannot create the run folder"));
  CHECK(contains(folder_refusal(folder / "file/run", false), "file/run: cannot create the run folder"));
}

TEST_CASE("new folders of one name are numbered, whatever has the name") {
  const TemporaryFolder folder;
  const auto path = folder / "runs/20261126-120000";
  CHECK(lpw::train::make_new_folder(path) == path);
  put(path.string() + "-2");
  std::filesystem::create_symlink("nowhere", path.string() + "-3");
  CHECK(lpw::train::make_new_folder(path) == path.string() + "-4");
  CHECK(std::filesystem::is_directory(path.string() + "-4"));
  const auto blocked = folder / "runs/20261126-120000-2/run";
  CHECK(contains(message_of<FileError>([&] { (void)lpw::train::make_new_folder(blocked); }),
                 "run: cannot create the run folder"));
}
