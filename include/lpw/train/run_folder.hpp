// The folder of a run: config.toml, metrics.csv, summary.json, checkpoint.lpw and model.safetensors, each written whole
// or not at all, and snapshots/ where some are asked for (parts/cycle_snapshots.hpp). The checkpoint is what a run is
// continued from; metrics.csv follows from it and is therefore written after it.
#pragma once

#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/io/file.hpp>

namespace lpw::inline LPW_ABI::train {

/// Makes a folder that is nobody else's, with those above it: `path`, or where there is one of that name, path-2 and so
/// on. Returns its name. Throws FileError.
[[nodiscard]] inline std::filesystem::path make_new_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  for (int number = 1;; ++number) {
    const auto numbered = number == 1 ? path : std::filesystem::path(to_text(path.string(), '-', number));
    if (io::detail::uninterrupted([&] { return ::mkdir(numbered.c_str(), 0777); }) == 0) return numbered;
    if (errno != EEXIST) io::detail::fail_from_errno(numbered, "cannot create the run folder");
  }
}

/// The folder of one run: its configuration, metrics, checkpoint, summary and model.
class RunFolder {
 public:
  /// Creates the folder, and holds it against other processes while this object lives. Throws FileError if that fails,
  /// if another process trains in it, if it holds a run and `resume` is not set, or if it holds the results of one
  /// whose checkpoint is gone.
  RunFolder(std::filesystem::path path, bool resume) : path_(std::move(path)), directory_(open_locked(path_)) {
    require<FileError>(resume || !has_checkpoint(), path_.string(),
                       ": holds a run already; continue it with `resume` or choose another `path`");
    for (const auto& result : {path_ / "metrics.csv", path_ / "summary.json", model()})
      require<FileError>(
          has_checkpoint() || !std::filesystem::exists(result), result.string(),
          ": is the result of a run whose checkpoint.lpw is gone, which cannot be continued; choose another `path`");
  }

  /// The same folder for a process beside the one that made it and writes: it writes nothing.
  [[nodiscard]] static RunFolder of_other_process(std::filesystem::path path) { return RunFolder(std::move(path)); }

  /// Of the folder.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The file's path.
  [[nodiscard]] std::filesystem::path checkpoint() const { return path_ / "checkpoint.lpw"; }
  /// The file's path.
  [[nodiscard]] std::filesystem::path model() const { return path_ / "model.safetensors"; }
  /// The file's path.
  [[nodiscard]] std::filesystem::path summary() const { return path_ / "summary.json"; }
  /// Whether there is one to go on from.
  [[nodiscard]] bool has_checkpoint() const { return std::filesystem::exists(checkpoint()); }

  /// Replaces config.toml. Throws FileError.
  void write_config(const std::string& toml) const { write(path_ / "config.toml", toml); }
  /// Replaces metrics.csv. Throws FileError.
  void write_metrics(const std::string& csv) const { write(path_ / "metrics.csv", csv); }
  /// Replaces summary.json. Throws FileError.
  void write_summary(const nlohmann::ordered_json& json) const { write(summary(), json.dump(2) + "\n"); }

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  void write(const std::filesystem::path& file, const std::string& content) const {
    if (directory_) io::write_file_atomically(file, std::string_view(content));
  }

  /// A lock on the folder itself leaves no file behind and ends with the process. Where locks are unsupported, it goes
  /// on without.
  static io::detail::Descriptor open_locked(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    require<FileError>(!error && std::filesystem::is_directory(path), path.string(), ": cannot create the run folder: ",
                       error ? error.message() : std::string("a file of that name is in the way"),
                       "; choose another `path`");
    io::detail::Descriptor directory(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!directory.valid()) io::detail::fail_from_errno(path, "cannot open the run folder");
    const bool locked = io::detail::uninterrupted([&] { return ::flock(directory.get(), LOCK_EX | LOCK_NB); }) == 0;
    require<FileError>(locked || errno != EWOULDBLOCK, path.string(),
                       ": another process is training in this folder; choose another `path`");
    return directory;
  }

  std::filesystem::path path_;
  std::optional<io::detail::Descriptor> directory_;  // none where another process writes
};

}  // namespace lpw::inline LPW_ABI::train
