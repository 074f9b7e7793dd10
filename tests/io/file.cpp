// Whole files in and out, and above all what is left when writing fails.
#include <lpw/io/file.hpp>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace io = lpw::io;
namespace fs = std::filesystem;

namespace {

std::string content_of(const fs::path& path) { return text_of(io::read_file(path)); }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// No file may grow past `bytes`: a disk that fills up, without needing a disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit lowered{bytes, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &lowered);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &limit_); }

 private:
  rlimit limit_{};
};

}  // namespace

TEST_CASE("file: content comes back, the old one is replaced and no temporary stays", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(path, "first, and longer");
  CHECK(content_of(path) == "first, and longer");
  io::write_file_atomically(path, std::string_view("\0second", 7));
  CHECK(content_of(path) == std::string("\0second", 7));
  io::write_file_atomically(path, "");
  CHECK(content_of(path).empty());
  CHECK(names_in(folder.path()) == std::vector<std::string>{"weights"});
}

TEST_CASE("file: the pieces of a streamed file stand in order, unseen before commit", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(path, "old");
  const std::string large(3'000'000, 'x');
  {
    io::AtomicFile file(path);
    file.write("head ");
    file.write(large);
    CHECK(content_of(path) == "old");
    file.write(" tail");
    file.commit();
  }
  CHECK(content_of(path) == "head " + large + " tail");
}

TEST_CASE("file: without commit nothing changes", "[io]") {
  const TemporaryFolder folder;
  {
    io::AtomicFile file(folder / "new");
    file.write("half");
  }
  CHECK(names_in(folder.path()).empty());
  io::write_file_atomically(folder / "old", "whole");
  CHECK_THROWS_AS(
      [&] {
        io::AtomicFile file(folder / "old");
        file.write("half");
        throw lpw::Error("in between");
      }(),
      lpw::Error);
  CHECK(content_of(folder / "old") == "whole");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"old"});
}

TEST_CASE("file: what a killed writer left is overwritten", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    io::AtomicFile file(path);
    file.write("a long piece of a file that never ends");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"weights.tmp"});
  io::write_file_atomically(path, "whole");
  CHECK(content_of(path) == "whole");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"weights"});
}

TEST_CASE("file: a second writer of the same file is refused while the first lives", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::AtomicFile first(path);
  first.write("first");
  const auto message = message_of<lpw::FileError>([&] { io::write_file_atomically(path, "second"); });
  CHECK(message == path.string() + ": is being written by another process");
  first.commit();
  CHECK(content_of(path) == "first");
  io::write_file_atomically(path, "second");
  CHECK(content_of(path) == "second");
}

// SIGXFSZ, which comes with the error, would end this program as it does by default.
TEST_CASE("file: a full disk leaves the old file and no temporary", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(path, "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = message_of<lpw::FileError>([&] { io::write_file_atomically(path, std::string(5000, 'x')); });
  }
  CHECK(message == path.string() + ": cannot write: File too large");
  CHECK(content_of(path) == "old");
  sigset_t pending;
  CHECK((::sigpending(&pending) == 0 && ::sigismember(&pending, SIGXFSZ) == 0));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"weights"});
}

TEST_CASE("file: the system's reason reaches the message", "[io]") {
  const auto full = message_of<lpw::FileError>([] {
    const io::detail::Descriptor device(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    io::detail::write_fully(device, bytes_of("x"), "weights");
  });
  CHECK(full == "weights: cannot write: No space left on device");

  const TemporaryFolder folder;
  const auto missing = folder / "none/weights";
  const std::string none = "No such file or directory";
  CHECK(message_of<lpw::FileError>([&] { io::write_file_atomically(missing, "x"); }) ==
        missing.string() + ": cannot create " + missing.string() + ".tmp: " + none);
  CHECK(message_of<lpw::FileError>([&] { (void)io::read_file(missing); }) ==
        missing.string() + ": cannot open: " + none);
}

TEST_CASE("file: a folder that may not be written", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(path, "old");
  REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
  // Permissions do not bind the superuser; in a child that has given up its rights they bind always.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const bool unprivileged =
        ::geteuid() != 0 || (::chown(folder.path().c_str(), 65534, 65534) == 0 && ::setuid(65534) == 0);
    const auto message = message_of<lpw::FileError>([&] { io::write_file_atomically(path, "new"); });
    ::_exit(unprivileged && contains(message, "weights: cannot create ") && contains(message, "Permission denied") ? 0
                                                                                                                   : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(content_of(path) == "old");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"weights"});
}

TEST_CASE("file: what is no regular file is neither read nor replaced", "[io]") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_directory(folder / "directory");
  for (const auto& path : {folder / "pipe", folder / "directory", fs::path("/dev/null")}) {
    CHECK(message_of<lpw::FileError>([&] { (void)io::read_file(path); }) == path.string() + ": is not a regular file");
    const auto message = message_of<lpw::FileError>([&] { io::write_file_atomically(path, "x"); });
    CHECK(message == path.string() + ": is not a regular file and will not be replaced");
  }
}

TEST_CASE("file: a symbolic link is written through", "[io]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  io::write_file_atomically(folder / "run/weights", "old");
  fs::create_symlink("run/weights", folder / "latest");
  io::write_file_atomically(folder / "latest", "new");
  CHECK(content_of(folder / "run/weights") == "new");
  CHECK(fs::is_symlink(folder / "latest"));
}

TEST_CASE("file: one that is rewritten keeps its permissions, a new one has the usual ones", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  const auto mode = [&] {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
  };
  const mode_t mask = ::umask(022);
  io::write_file_atomically(path, "new");
  CHECK(mode() == 0644);
  for (const mode_t wanted : {0600, 0664, 0400}) {
    REQUIRE(::chmod(path.c_str(), wanted) == 0);
    io::write_file_atomically(path, "rewritten");
    CHECK(mode() == wanted);
  }
  ::umask(mask);
}

TEST_CASE("file: what should not be seen is not seen while it is rewritten", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(path, "old");
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  io::AtomicFile file(path);
  struct stat status {};
  REQUIRE(::stat((folder / "weights.tmp").c_str(), &status) == 0);
  CHECK((status.st_mode & 077) == 0);
}

TEST_CASE("file: a second name of another file in the temporary's place is removed, the other file stays", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights";
  io::write_file_atomically(folder / "thesis", "years of work");
  fs::create_hard_link(folder / "thesis", folder / "weights.tmp");
  io::write_file_atomically(path, "new");
  CHECK(content_of(path) == "new");
  CHECK(content_of(folder / "thesis") == "years of work");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"thesis", "weights"});
}

TEST_CASE("file: what is no file in the temporary's place is left there and named", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights", temporary = folder / "weights.tmp";
  io::write_file_atomically(folder / "thesis", "years of work");
  const auto check_refused = [&] {
    CHECK(message_of<lpw::FileError>([&] { io::write_file_atomically(path, "new"); }) ==
          path.string() + ": cannot create " + temporary.string() +
              ": something that is not a regular file has that name; remove it");
    CHECK(fs::symlink_status(temporary).type() != fs::file_type::not_found);
    CHECK_FALSE(fs::exists(path));
    fs::remove(temporary);
  };
  REQUIRE(::mkfifo(temporary.c_str(), 0600) == 0);  // to open it would wait for a reader
  check_refused();
  fs::create_directory(temporary);
  check_refused();
  fs::create_symlink("thesis", temporary);
  check_refused();
  CHECK(content_of(folder / "thesis") == "years of work");
}

TEST_CASE("file: a temporary that another process removed or replaced is not put in place", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "weights", temporary = folder / "weights.tmp";
  io::write_file_atomically(path, "old");
  for (const bool replaced : {false, true}) {
    io::AtomicFile file(path);
    file.write("new");
    fs::remove(temporary);
    if (replaced) io::write_file_atomically(temporary, "another's");
    CHECK(message_of<lpw::FileError>([&] { file.commit(); }) ==
          path.string() + ": another process has removed or replaced " + temporary.string());
    CHECK(content_of(path) == "old");
    CHECK(fs::exists(temporary) == replaced);
  }
}
