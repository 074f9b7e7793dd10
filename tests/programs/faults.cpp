// Loaded before a program's libraries (LD_PRELOAD), this counts the program's operations on files under one folder, and
// lets one of them go wrong, so that a test can try each in turn. In the environment:
//   FAULT_FOLDER  the folder, as the program names it
//   FAULT_COUNT   a file outside of it for the number of operations, written when the program ends by itself
//   FAULT_AT      the number, from 1, of the operation that goes wrong; 0: none
//   FAULT_KIND    kill: the process is killed before the operation; short: a write takes half of its bytes and the next
//   says the disk is
//                 full; interrupted: every operation is interrupted once, whatever FAULT_AT; or else the errno that the
//                 operation returns
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

/// The function that would be called without this file.
template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

class Faults {
 public:
  ~Faults() {
    std::FILE* file = std::fopen(variable("FAULT_COUNT"), "w");
    if (file == nullptr) return;
    std::fprintf(file, "%ld\n", count_);
    std::fclose(file);
  }

  [[nodiscard]] bool concerns(const char* path) const {
    return *folder_ != '\0' && std::strncmp(path, folder_, std::strlen(folder_)) == 0;
  }
  [[nodiscard]] bool concerns(int fd) const { return fd >= 0 && fd < descriptors && ours_[fd]; }
  void opened(int fd) {
    if (fd >= 0 && fd < descriptors) ours_[fd] = true;
  }
  void closed(int fd) { ours_[fd] = false; }

  /// Counts an operation. Returns the errno with which it is to fail, or 0.
  int next(bool writes = false) {
    if (interrupts_) return (interrupted_ = !interrupted_) ? EINTR : 0;
    if (++count_ != at_) return full_ && writes ? ENOSPC : 0;
    if (std::strcmp(kind_, "kill") == 0) ::kill(::getpid(), SIGKILL);
    if (std::strcmp(kind_, "short") == 0) full_ = true;
    return full_ ? 0 : std::atoi(kind_);
  }
  /// Whether this very operation is to be done by half.
  [[nodiscard]] bool by_half() const { return full_ && count_ == at_; }
  [[nodiscard]] bool interrupts() const { return interrupts_; }

 private:
  static constexpr int descriptors = 4096;
  const char *folder_ = variable("FAULT_FOLDER"), *kind_ = variable("FAULT_KIND");
  const bool interrupts_ = std::strcmp(kind_, "interrupted") == 0;
  long count_ = 0, at_ = std::atol(variable("FAULT_AT"));
  bool ours_[descriptors] = {}, full_ = false, interrupted_ = false;
};

Faults& faults() {
  static Faults all;
  return all;
}

/// Does what `call` does, unless the operation, one of ours, is to fail.
template <class Call>
auto attempt(bool ours, Call call, bool writes = false) -> decltype(call()) {
  if (ours)
    if (const int error = faults().next(writes)) {
      errno = error;
      return -1;
    }
  return call();
}

int open_at(int folder, const char* path, int flags, mode_t mode) {
  const bool ours = faults().concerns(path);
  const int fd =
      attempt(ours, [&] { return real<int(int, const char*, int, ...)>("openat")(folder, path, flags, mode); });
  if (ours) faults().opened(fd);
  return fd;
}

mode_t mode_of(int flags, std::va_list arguments) {
  return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  const bool ours = faults().concerns(fd);
  const auto call = [&] {
    return real<ssize_t(int, const void*, size_t)>("write")(fd, bytes,
                                                            ours && faults().by_half() ? (size + 1) / 2 : size);
  };
  return attempt(ours, call, true);
}
ssize_t read(int fd, void* bytes, size_t size) {
  return attempt(faults().concerns(fd), [&] { return real<ssize_t(int, void*, size_t)>("read")(fd, bytes, size); });
}
int fsync(int fd) {
  return attempt(faults().concerns(fd), [&] { return real<int(int)>("fsync")(fd); });
}
int fchmod(int fd, mode_t mode) noexcept {
  return attempt(faults().concerns(fd), [&] { return real<int(int, mode_t)>("fchmod")(fd, mode); });
}
int flock(int fd, int operation) noexcept {
  return attempt(faults().concerns(fd), [&] { return real<int(int, int)>("flock")(fd, operation); });
}
int rename(const char* from, const char* to) noexcept {
  return attempt(faults().concerns(from), [&] { return real<int(const char*, const char*)>("rename")(from, to); });
}
int unlink(const char* path) noexcept {
  return attempt(faults().concerns(path), [&] { return real<int(const char*)>("unlink")(path); });
}
int mkdir(const char* path, mode_t mode) noexcept {
  return attempt(faults().concerns(path) && !faults().interrupts(),
                 [&] { return real<int(const char*, mode_t)>("mkdir")(path, mode); });
}
int close(int fd) {  // closes whatever it returns, as Linux does
  const bool ours = faults().concerns(fd);
  if (ours) faults().closed(fd);
  if (ours && faults().interrupts()) {
    real<int(int)>("close")(fd);
    errno = EINTR;
    return -1;
  }
  const int error = ours ? faults().next() : 0;
  const int result = real<int(int)>("close")(fd);
  if (error == 0) return result;
  errno = error;
  return -1;
}

}  // extern "C"
