// The saved networks that are scored: which files, and what they say of the networks and of what those were trained on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "options.hpp"

namespace cifar {
struct Options;
}  // namespace cifar

namespace evaluate {

/// One of --network.
struct Source {
  enum class Kind { model, members, snapshots };
  Kind kind = Kind::model;
  std::string given;                               // as on the command line
  std::filesystem::path file;                      // a model, a checkpoint, or of snapshots the checkpoint beside them
  std::shared_ptr<const cifar::Options> run = {};  // of the run that saved it, as far as that is known
  std::string model = {}, images = {};             // of the network, and what it was trained on
  bool recorded = false;                           // whether the next four are the run's
  std::int64_t train_subset = 0, held_out = 0;     // 0 of a subset: all images
  bool initialised = false;                        // from a saved network, of which nothing is known
  std::string served = {};                         // what it ended with by its --serve
  bool says_normalization = true;                  // by what its images were normalised
  bool says_images = false;                        // what the next one is
  std::map<std::string, std::string> notes = {};   // how its images were made of files: options by their names
  std::vector<std::string> classes = {};           // that it tells apart; empty: it does not say
  std::int64_t steps = 0;                          // of snapshots: those up to this one are the run's

  /// "members of checkpoint.lpw"
  [[nodiscard]] std::string what() const {
    if (kind == Kind::snapshots) return "snapshots";
    return (kind == Kind::members ? "members of " : "") + file.filename().string();
  }
  /// The --take of what the run served where that is more networks than this one, or "" (an average over dropout is not
  /// saved).
  [[nodiscard]] std::string take_served() const {
    if (kind != Kind::model) return "";
    return served == "ensemble" ? "members" : served == "snapshots" ? served : "";
  }
};

/// How many training images of a data set (Source::images) are meant, where 0 is all of them: 0 also for their count.
[[nodiscard]] std::int64_t subset_of(const std::string& images, std::int64_t size);

/// All of --network. Throws OptionError and FileError for what is no network, or of other data, classes or images than
/// the rest.
[[nodiscard]] std::vector<Source> find_sources(const Options& options);

}  // namespace evaluate
