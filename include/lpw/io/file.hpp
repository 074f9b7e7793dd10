// Whole files in and out. A file is written beside its target, as "<name>.tmp", and renamed over it only when every byte is on the
// disk: whoever reads the target finds the old file or the new one, never a part. The temporary's name is fixed, so that what a
// killed process left behind is overwritten by the next; a lock on it keeps two living writers apart.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw::io {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

namespace detail {

[[noreturn]] inline void fail_from_errno(const std::filesystem::path& path, std::string_view action) {
  const std::string reason = std::generic_category().message(errno);
  fail<FileError>(path.string(), ": ", action, ": ", reason);
}

/// An open file; -1 where opening failed.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  /// Closes now; false with errno where the system reports a write that failed late.
  [[nodiscard]] bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

/// Writes all bytes, in as many calls as the system wants. Throws FileError naming `path`.
inline void write_fully(const Descriptor& file, ByteView bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      fail_from_errno(path, "cannot write");
    }
  }
}

}  // namespace detail

/// The content of a regular file. Throws FileError where it is missing, unreadable or shrinks meanwhile, OutOfMemory where it does not fit.
template <class Byte = std::byte>
[[nodiscard]] std::vector<Byte> read_file(const std::filesystem::path& path) {
  // Not blocking, or opening a pipe would wait for its writer instead of reaching the refusal below.
  const detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) detail::fail_from_errno(path, "cannot open");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) detail::fail_from_errno(path, "cannot read");
  require<FileError>(S_ISREG(status.st_mode), path.string(), ": is not a regular file");

  std::vector<Byte> bytes;
  try {
    bytes.resize(static_cast<std::size_t>(status.st_size));
  } catch (const std::exception&) {
    fail<OutOfMemory>(path.string(), ": its ", status.st_size, " bytes do not fit in memory");
  }
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t count = ::read(file.get(), bytes.data() + have, bytes.size() - have);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) detail::fail_from_errno(path, "cannot read");
    require<FileError>(count > 0, path.string(), ": ended at byte ", have, " of ", bytes.size(), " while it was read");
    have += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// A file that replaces `path` on commit(), whole and on the disk; without commit(), after an exception say, `path` stays as it was
/// and nothing is left behind. Missing directories are not created. A symbolic link is written through. Every failure throws
/// FileError starting with `path`.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path)
      : path_(path), target_(target_of(path)), temporary_(target_.string() + ".tmp"), file_(open_locked()) {}
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_.valid()) ::unlink(temporary_.c_str());
  }

  /// Appends. May be called any number of times before commit().
  void write(ByteView bytes) { detail::write_fully(file_, bytes, path_); }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes what was written the content of `path`.
  void commit() {
    if (::fsync(file_.get()) != 0) detail::fail_from_errno(path_, "cannot write");
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) detail::fail_from_errno(path_, "cannot replace");
    // Some file systems refuse this on a directory. Nothing is lost without it: after a power cut either whole file may be there.
    const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const detail::Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.valid()) ::fsync(directory.get());
    if (!file_.close()) detail::fail_from_errno(path_, "cannot close");
  }

 private:
  /// Refuses devices, pipes and directories: renaming a file over /dev/null would replace the device.
  static std::filesystem::path target_of(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) return path;
    require<FileError>(std::filesystem::is_regular_file(status), path.string(), ": is not a regular file and will not be replaced");
    const auto resolved = std::filesystem::canonical(path, error);
    return error ? path : resolved;
  }

  [[nodiscard]] detail::Descriptor open_locked() const {
    for (int attempt = 0; attempt < 100; ++attempt) {
      detail::Descriptor file(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
      if (!file.valid()) detail::fail_from_errno(path_, concat("cannot create ", temporary_.string()));
      const bool locked = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;  // where locks are unsupported, go on without
      require<FileError>(locked || errno != EWOULDBLOCK, path_.string(), ": is being written by another process");
      if (!is_temporary(file)) continue;
      if (::ftruncate(file.get(), 0) != 0) detail::fail_from_errno(path_, "cannot write");
      return file;
    }
    fail<FileError>(path_.string(), ": other processes keep replacing it");
  }

  /// False if, between opening and locking, another writer finished and renamed this very file to the target.
  [[nodiscard]] bool is_temporary(const detail::Descriptor& file) const {
    struct stat opened {
    }, named{};
    return ::fstat(file.get(), &opened) == 0 && ::lstat(temporary_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
  }

  std::filesystem::path path_, target_, temporary_;
  detail::Descriptor file_;
};

/// Makes `bytes` the content of `path`, all or nothing. Throws FileError.
inline void write_file_atomically(const std::filesystem::path& path, ByteView bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace lpw::io
