// The folder of a run: config.toml, metrics.csv, summary.json, checkpoint.lpw and model.safetensors, each written whole or not at all.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <lpw/io/file.hpp>

namespace lpw::train {

class RunFolder {
 public:
  /// Creates the folder. Throws FileError if that fails, or if it holds a run already and `resume` is not set.
  RunFolder(std::filesystem::path path, bool resume) : path_(std::move(path)) {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    require<FileError>(!error && std::filesystem::is_directory(path_), path_.string(), ": cannot create the run folder: ",
                       error ? error.message() : std::string("a file of that name is in the way"));
    require<FileError>(resume || !std::filesystem::exists(checkpoint()), path_.string(),
                       ": holds a run already; continue it with --resume or choose another folder with --out");
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path checkpoint() const { return path_ / "checkpoint.lpw"; }
  [[nodiscard]] std::filesystem::path model() const { return path_ / "model.safetensors"; }

  void write_config(const std::string& toml) const { io::write_file_atomically(path_ / "config.toml", std::string_view(toml)); }
  void write_metrics(const std::string& csv) const { io::write_file_atomically(path_ / "metrics.csv", std::string_view(csv)); }
  void write_summary(const nlohmann::ordered_json& summary) const {
    io::write_file_atomically(path_ / "summary.json", std::string_view(summary.dump(2) + "\n"));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace lpw::train
