// Whole files in and out. A file is written beside its target, as "<name>.tmp", and renamed over it only when every
// byte is on the disk: whoever reads the target finds the old file or the new one, never a part. The temporary's name
// is fixed, so that what a killed process left behind is removed by the next; a lock on it keeps two living writers
// apart. It is always a new file: whatever else bears its name, a pipe or another file's second name, is neither opened
// for writing nor written through.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <ctime>
#include <exception>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::io {

/// Contents of a file.
using Bytes = std::vector<std::byte>;
/// A part of them.
using ByteView = std::span<const std::byte>;

namespace detail {

[[noreturn]] inline void fail_from_errno(const std::filesystem::path& path, std::string_view action) {
  const std::string reason = std::generic_category().message(errno);
  fail<FileError>(path.string(), ": ", action, ": ", reason);
}

/// The result of a system call, which is made again for as long as a signal interrupts it.
template <class Call>
[[nodiscard]] auto uninterrupted(Call call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

/// An open file; -1 where opening failed.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0)
      : fd_(uninterrupted([&] { return ::open(path.c_str(), flags, mode); })) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  /// Closes now; false with errno where the system reports a write that failed late. Interrupted, a descriptor is
  /// closed all the same.
  [[nodiscard]] bool close() { return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR; }

 private:
  int fd_;
};

/// While one is alive, a write beyond the largest size allowed (ulimit -f) fails with EFBIG, where its signal, SIGXFSZ,
/// would end the process without a word. The signal is this thread's, and is taken away before it is let in again.
class SizeSignalBlock {
 public:
  SizeSignalBlock() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  ~SizeSignalBlock() {
    if (sigismember(&before_, SIGXFSZ) == 1) return;
    const int kept = errno;
    const timespec at_once{};
    (void)uninterrupted([&] { return ::sigtimedwait(&signal_, nullptr, &at_once); });
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = kept;
  }
  SizeSignalBlock(const SizeSignalBlock&) = delete;
  SizeSignalBlock& operator=(const SizeSignalBlock&) = delete;

 private:
  sigset_t signal_{}, before_{};
};

/// Writes all bytes, in as many calls as the system wants. Throws FileError naming `path`.
inline void write_fully(const Descriptor& file, ByteView bytes, const std::filesystem::path& path) {
  const SizeSignalBlock block;
  while (!bytes.empty()) {
    const ssize_t written = uninterrupted([&] { return ::write(file.get(), bytes.data(), bytes.size()); });
    if (written <= 0) fail_from_errno(path, "cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace detail

/// The content of a regular file. Throws FileError where it is missing, unreadable or shrinks meanwhile, OutOfMemory
/// where it does not fit.
template <class Byte = std::byte>
[[nodiscard]] std::vector<Byte> read_file(const std::filesystem::path& path) {
  // Not blocking, or opening a pipe would wait for its writer instead of reaching the refusal below.
  const detail::Descriptor file(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!file.valid()) detail::fail_from_errno(path, "cannot open");
  struct stat status {};
  if (detail::uninterrupted([&] { return ::fstat(file.get(), &status); }) != 0)
    detail::fail_from_errno(path, "cannot read");
  require<FileError>(S_ISREG(status.st_mode), path.string(), ": is not a regular file");

  std::vector<Byte> bytes;
  try {
    bytes.resize(static_cast<std::size_t>(status.st_size));
  } catch (const std::exception&) {
    fail<OutOfMemory>(path.string(), ": its ", status.st_size, " bytes do not fit in memory");
  }
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t count =
        detail::uninterrupted([&] { return ::read(file.get(), bytes.data() + have, bytes.size() - have); });
    if (count < 0) detail::fail_from_errno(path, "cannot read");
    require<FileError>(count > 0, path.string(), ": ended at byte ", have, " of ", bytes.size(), " while it was read");
    have += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// A file that replaces `path` on commit(), whole and on the disk, with the permissions of the file before; without
/// commit(), after an exception say, `path` stays as it was and nothing is left behind. Missing directories are not
/// created. A symbolic link is written through. Every failure throws FileError starting with `path`.
class AtomicFile {
 public:
  /// Throws FileError where no file can be made beside `path`.
  explicit AtomicFile(const std::filesystem::path& path)
      : path_(path),
        target_(target_of(path)),
        temporary_(target_.string() + ".tmp"),
        mode_(mode_of(target_)),
        file_(create_locked()) {}
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_.valid() && is_named(file_, temporary_)) (void)removed();
  }

  /// Appends. May be called any number of times before commit().
  void write(ByteView bytes) { detail::write_fully(file_, bytes, path_); }
  /// Appends a text.
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Makes what was written the content of `path`.
  void commit() {
    using detail::uninterrupted, detail::fail_from_errno;
    // Where a file system has no such permissions, the file is as good without.
    if (mode_) (void)uninterrupted([&] { return ::fchmod(file_.get(), *mode_); });
    if (uninterrupted([&] { return ::fsync(file_.get()); }) != 0) fail_from_errno(path_, "cannot write");
    require<FileError>(is_named(file_, temporary_), path_.string(), ": another process has removed or replaced ",
                       temporary_.string());
    // Over a network, a call that was interrupted may have been carried out; made again it finds no file of the old
    // name.
    const bool renamed = uninterrupted([&] { return ::rename(temporary_.c_str(), target_.c_str()); }) == 0;
    if (!renamed && !(errno == ENOENT && is_named(file_, target_))) fail_from_errno(path_, "cannot replace");
    // Some file systems refuse this on a directory. Nothing is lost without it: after a power cut either whole file may
    // be there.
    const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const detail::Descriptor directory(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory.valid()) (void)uninterrupted([&] { return ::fsync(directory.get()); });
    if (!file_.close()) fail_from_errno(path_, "cannot close");
  }

 private:
  /// Refuses devices, pipes and directories: renaming a file over /dev/null would replace the device.
  static std::filesystem::path target_of(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) return path;
    require<FileError>(std::filesystem::is_regular_file(status), path.string(),
                       ": is not a regular file and will not be replaced");
    const auto resolved = std::filesystem::canonical(path, error);
    return error ? path : resolved;
  }

  /// Who may read and write the file that is replaced, where there is one.
  static std::optional<mode_t> mode_of(const std::filesystem::path& target) {
    struct stat status {};
    if (::stat(target.c_str(), &status) != 0) return std::nullopt;
    return static_cast<mode_t>(status.st_mode & 0777);
  }

  /// A new file, never one that is there. Until it is complete it is for its owner's eyes where the file it replaces
  /// may be.
  [[nodiscard]] detail::Descriptor create_locked() const {
    for (int attempt = 0; attempt < 100; ++attempt) {
      detail::Descriptor file(temporary_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_ ? 0600 : 0666);
      if (!file.valid() && errno == EEXIST) {
        remove_abandoned();
        continue;
      }
      if (!file.valid()) detail::fail_from_errno(path_, to_text("cannot create ", temporary_.string()));
      lock(file);
      if (is_named(file, temporary_)) return file;
    }
    fail<FileError>(path_.string(), ": other processes keep replacing it");
  }

  /// Removes the temporary that a killed process left behind: one that nobody has locked. If it is the second name of a
  /// file, the file stays under its first. Throws FileError for what no AtomicFile leaves.
  void remove_abandoned() const {
    struct stat named {};
    if (::lstat(temporary_.c_str(), &named) != 0) return;  // gone meanwhile
    require<FileError>(S_ISREG(named.st_mode), path_.string(), ": cannot create ", temporary_.string(),
                       ": something that is not a regular file has that name; remove it");
    // Killed after it took the mode of a file that is not to be written, it is not to be written either.
    const int access = named.st_mode & S_IWUSR ? O_WRONLY : O_RDONLY;
    const detail::Descriptor file(temporary_, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (!file.valid() && errno == ENOENT) return;
    if (!file.valid()) detail::fail_from_errno(path_, to_text("cannot replace ", temporary_.string()));
    lock(file);
    if (is_named(file, temporary_) && !removed() && errno != ENOENT)
      detail::fail_from_errno(path_, to_text("cannot replace ", temporary_.string()));
  }

  [[nodiscard]] bool removed() const {
    return detail::uninterrupted([&] { return ::unlink(temporary_.c_str()); }) == 0;
  }

  /// Throws FileError where another process has the lock; where locks are unsupported, goes on without.
  void lock(const detail::Descriptor& file) const {
    const bool locked = detail::uninterrupted([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) == 0;
    require<FileError>(locked || errno != EWOULDBLOCK, path_.string(), ": is being written by another process");
  }

  /// Whether the open file bears this name: another process may have renamed or removed it.
  static bool is_named(const detail::Descriptor& file, const std::filesystem::path& name) {
    struct stat opened {
    }, named{};
    return ::fstat(file.get(), &opened) == 0 && ::lstat(name.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
  }

  std::filesystem::path path_, target_, temporary_;
  std::optional<mode_t> mode_;
  detail::Descriptor file_;
};

/// Makes `bytes` the content of `path`, all or nothing. Throws FileError.
inline void write_file_atomically(const std::filesystem::path& path, ByteView bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}
/// The same with a text.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace lpw::inline LPW_ABI::io
