// Snapshots: a folder of plain networks from one training, at most so many of them, to be read back as an ensemble.
// Each is a model file (io/model.hpp). An index beside them says which there are, and which are about to come or go:
// a file is in the index before it is written and until it is removed, so that whenever a process is killed the next
// one knows which files are its own, and touches no other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/io/model.hpp>

namespace lpw::inline LPW_ABI::io {

/// Networks kept in a folder, the last so many of those that were added.
class Snapshots {
 public:
  /// Knows the snapshots that are in the folder, which need not exist; nothing is written before one is added. At most
  /// `most` are kept. Throws OptionError for less than one, FileError for an index that is damaged.
  Snapshots(std::filesystem::path folder, std::int64_t most) : folder_(std::move(folder)), most_(most) {
    require<OptionError>(most >= 1, "snapshots: at most ", most, "; expected at least 1");
    if (std::filesystem::exists(index())) read_index();
  }

  /// The steps after which they were taken, the oldest first.
  [[nodiscard]] const std::vector<std::int64_t>& steps() const { return kept_; }
  /// Of the network that was added at that step.
  [[nodiscard]] std::filesystem::path file(std::int64_t step) const {
    return folder_ / to_text("snapshot-", step, ".safetensors");
  }

  /// Writes a plain network, whole or not at all, and removes what is too old then. A snapshot of the same step is
  /// replaced, and later ones go: they are of a run that was continued from an older checkpoint. Throws FileError where
  /// that fails, or where a file of that name is none of these snapshots, and what save_safetensors throws. `notes`
  /// stand in the file's metadata, beside its step.
  template <nn::Visitable M>
  void add(M& network, std::int64_t step, std::map<std::string, std::string> notes = {}) {
    require<OptionError>(step >= 0, "snapshots: step ", step, "; expected at least 0");
    detail::require_plain(network, "snapshots", "add the collapsed one");
    make_folder();
    const bool known = contains(kept_, step) || contains(leaving_, step);
    require<FileError>(known || !std::filesystem::exists(file(step)), file(step).string(),
                       ": is none of the snapshots that ", index().string(), " lists; move it elsewhere");
    if (!known) {
      leaving_.push_back(step);
      write_index();
    }
    notes["step"] = to_text(step);
    save_safetensors(file(step), network, std::move(notes));
    auto kept = until(step - 1);
    kept.push_back(step);
    kept.erase(kept.begin(), kept.end() - std::min<std::ptrdiff_t>(std::ssize(kept), most_));
    keep(std::move(kept));
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto add(M&, auto&&...) {
    return nn::detail::not_a_module<M>();
  }

  /// Removes the snapshots of later steps: for a run that goes on from there. Throws FileError.
  void discard_after(std::int64_t step) {
    if (auto kept = until(step); kept.size() < kept_.size()) keep(std::move(kept));
  }

  /// Reads the snapshot of a step into a plain network of its architecture. Throws FileError where it is gone or
  /// damaged, and what load_safetensors throws.
  template <nn::Visitable M>
  void load(std::int64_t step, M& network) const {
    load_safetensors(file(step), network);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto load(std::int64_t, M&) const {
    return nn::detail::not_a_module<M>();
  }

  /// Those of steps up to `last`, the oldest first, each in a copy of a plain network of their architecture: what
  /// predict_networks takes. Throws as load does.
  template <nn::Visitable M>
  [[nodiscard]] std::vector<M> networks(const M& like,
                                        std::int64_t last = std::numeric_limits<std::int64_t>::max()) const {
    std::vector<M> networks;
    for (const std::int64_t step : until(last)) load(step, networks.emplace_back(nn::clone_module(like)));
    return networks;
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto networks(const M&, auto&&...) const {
    return nn::detail::not_a_module<M>();
  }

 private:
  using Steps = std::vector<std::int64_t>;

  [[nodiscard]] std::filesystem::path index() const { return folder_ / "snapshots.json"; }
  [[nodiscard]] static bool contains(const Steps& steps, std::int64_t step) {
    return std::find(steps.begin(), steps.end(), step) != steps.end();
  }
  [[nodiscard]] Steps until(std::int64_t step) const {
    return {kept_.begin(), std::upper_bound(kept_.begin(), kept_.end(), step)};
  }

  void make_folder() const {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    require<FileError>(!error && std::filesystem::is_directory(folder_), folder_.string(),
                       ": cannot create the folder of snapshots: ",
                       error ? error.message() : std::string("a file of that name is in the way"));
  }

  /// Makes these, ascending, all there are.
  void keep(Steps kept) {
    for (const std::int64_t step : kept_)
      if (!contains(kept, step) && !contains(leaving_, step)) leaving_.push_back(step);
    std::erase_if(leaving_, [&](std::int64_t step) { return contains(kept, step); });
    kept_ = std::move(kept);
    write_index();
    for (const std::int64_t step : leaving_) {
      std::error_code error;
      std::filesystem::remove(file(step), error);
      require<FileError>(!error, file(step).string(), ": cannot be removed: ", error.message());
    }
    if (leaving_.empty()) return;
    leaving_.clear();
    write_index();
  }

  void write_index() const {
    const nlohmann::json json{{"snapshots", kept_}, {"leaving", leaving_}};
    write_file_atomically(index(), std::string_view(json.dump() + "\n"));
  }

  void read_index() {
    const std::string source = index().string();
    const auto content = read_file(index());
    const auto json = detail::parse_header(content, source, 0);
    const auto read = [&](const char* name, Steps& steps) {
      const auto found = json.find(name);
      const bool whole =
          found != json.end() && found->is_array() && std::all_of(found->begin(), found->end(), [](const auto& step) {
            return step.is_number_unsigned() &&
                   step.template get<std::uint64_t>() <=
                       static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
          });
      require<FileError>(whole, source, ": damaged: its ", name, " are not a list of steps");
      for (const auto& step : *found) steps.push_back(step.template get<std::int64_t>());
    };
    read("snapshots", kept_);
    read("leaving", leaving_);
    const bool ascending = std::adjacent_find(kept_.begin(), kept_.end(), std::greater_equal<>()) == kept_.end();
    require<FileError>(ascending, source, ": damaged: the steps of its snapshots do not ascend");
  }

  std::filesystem::path folder_;
  std::int64_t most_;
  Steps kept_, leaving_;
};

}  // namespace lpw::inline LPW_ABI::io
