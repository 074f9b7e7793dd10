// How a file's tensors are matched with a network's weights: names are changed and passed over, and what then does not
// fit is an error that names all of it.
#pragma once

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/io/class_names.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/tensor/patterns.hpp>

namespace lpw::inline LPW_ABI::io {

namespace detail {

template <class F, class Result>
concept FunctionOfNames = std::is_invocable_r_v<Result, const F&, const std::string&>;

}  // namespace detail

/// What a file's names become: pairs of a pattern and a name ({{"module.*", "*"}}; see lpw::renamed), of which the
/// first that matches counts, or a function from name to name. Names that nothing matches stay as they are.
class Renaming {
 public:
  using Pair = std::pair<std::string, std::string>;

  Renaming() = default;
  /// In this order.
  Renaming(std::initializer_list<Pair> pairs) : Renaming(std::vector<Pair>(pairs)) {}
  /// In this order.
  Renaming(std::vector<Pair> pairs)
      : function_([pairs = std::move(pairs)](const std::string& name) {
          for (const auto& [pattern, to] : pairs)
            if (auto result = renamed(name, pattern, to)) return *result;
          return name;
        }) {}
  /// Of a function from name to name.
  template <detail::FunctionOfNames<std::string> F>
  Renaming(F function) : function_(std::move(function)) {}

  /// The new name.
  [[nodiscard]] std::string apply(const std::string& name) const { return function_ ? function_(name) : name; }

 private:
  std::function<std::string(const std::string&)> function_;
};

/// A choice of names: those that match one of some patterns ({"fc.*"}), or for which a function is true.
class NameChoice {
 public:
  NameChoice() = default;
  /// Those that match one of these.
  NameChoice(std::initializer_list<std::string> patterns) : patterns_(patterns) {}
  /// Those that match one of these.
  NameChoice(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}
  /// Those for which a function is true.
  template <detail::FunctionOfNames<bool> F>
  NameChoice(F function) : function_(std::move(function)) {}

  /// Whether it is chosen.
  [[nodiscard]] bool contains(const std::string& name) const {
    return (function_ && function_(name)) || matches_any(name, patterns_);
  }
  /// As given; a function has none.
  [[nodiscard]] const std::vector<std::string>& patterns() const { return patterns_; }
  /// Chooses a name too.
  void add(std::string name) { patterns_.push_back(std::move(name)); }

 private:
  std::vector<std::string> patterns_;
  std::function<bool(const std::string&)> function_;
};

/// By default file and network must agree in all names, shapes and element types.
struct LoadOptions {
  bool convert = false;   // take F16, BF16, F32 and F64 tensors alike, rounded to the type of the network's weights
  Renaming rename = {};   // from the file's names to the network's
  NameChoice skip = {};   // of the network's names: weights that keep their values, whatever the file has under these
                          // names. A head of other classes, or that the file lacks, say
  bool new_head = false;  // skip the network's head (Group::head) where the file lacks it, or has one for other classes
  std::vector<std::string> classes = {};  // that the network tells apart, by name: a file that notes others (`classes`
                                          // in its metadata, describe_class_names) is refused, or has no head for them
};

/// What came of a file's tensors and of a network's weights.
struct LoadReport {
  std::vector<std::string> taken = {};               // names of the network's: they have the file's values
  std::vector<std::string> kept = {};                // and theirs: they keep their own
  std::vector<std::string> passed_over = {};         // names of the file's: nothing took them
  std::map<std::string, std::string> metadata = {};  // of the file

  /// In a sentence: "60 tensors taken; new: 'fc.weight' and 'fc.bias'; not taken of the file: 'fc.weight', 'fc.bias'
  /// and 20 counters of batches".
  [[nodiscard]] std::string describe() const {
    std::vector<std::string> others;
    std::size_t counters = 0;
    for (const std::string& name : passed_over)
      name.ends_with("num_batches_tracked") ? void(++counters) : others.push_back(name);
    std::string text = to_text(taken.size(), taken.size() == 1 ? " tensor taken" : " tensors taken");
    if (!kept.empty()) text += "; new: " + quoted_list(kept);
    if (passed_over.empty()) return text;
    text += "; not taken of the file: " + quoted_list(others);
    if (counters > 0)
      text += to_text(others.empty() ? "" : " and ", counters,
                      counters == 1 ? " counter of batches" : " counters of batches");
    return text;
  }
};

namespace detail {

/// A parameter or buffer of a network: tied weights have several names and one id.
struct NetworkName {
  std::string name;
  const void* id;
  Shape shape;  // as files have it
  bool head = false;
};

/// Tensors of a file by the names that a network has for them.
class RenamedTensors {
 public:
  /// Throws FileError where two tensors get one name.
  RenamedTensors(const Safetensors& content, const Renaming& rename) {
    for (const NamedTensor& tensor : content.tensors) {
      const auto [place, added] = stored_.emplace(rename.apply(tensor.name), tensor.name);
      require<FileError>(added, content.tensors.source(), ": the tensors '", place->second, "' and '", tensor.name,
                         "' are both renamed to '", place->first, "'");
    }
    for (const auto& [note, text] : content.metadata)
      if (const auto stored = content.stored_name(note); stored != note) stored_.emplace(rename.apply(note), stored);
  }

  /// The name in the file, or null.
  [[nodiscard]] const std::string* find(const std::string& name) const {
    const auto found = stored_.find(name);
    return found == stored_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] const std::map<std::string, std::string>& all() const { return stored_; }

 private:
  std::map<std::string, std::string> stored_;  // the network's name, the file's
};

/// Throws OptionError for a pattern to be skipped that is no name of either side: a typing error would load what was to
/// be kept.
inline void require_known(const NameChoice& skip, const std::string& source, const std::vector<NetworkName>& network,
                          const RenamedTensors& file) {
  std::set<std::string> names;
  for (const NetworkName& known : network) names.insert(known.name);
  for (const auto& [name, stored] : file.all()) names.insert(name);
  const std::vector<std::string> known(names.begin(), names.end());
  for (const std::string& pattern : skip.patterns()) {
    if (any_matches(known, pattern)) continue;
    const auto close = close_names(pattern, known);
    fail<OptionError>(source, ": skip '", pattern, "' matches no tensor of the file and no weight of the network",
                      close.empty() ? "" : "; close names: " + quoted_list(close));
  }
}

/// Throws FileError for tied weights of which the file has two versions.
inline void require_tied(const Safetensors& content, const std::string& first, const std::string& second) {
  const NamedTensor &a = content.tensors.at(first), &b = content.tensors.at(second);
  const bool same = a.dtype == b.dtype && a.shape == b.shape &&
                    std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end());
  require<FileError>(same, content.tensors.source(), ": the tensors '", first, "' and '", second,
                     "' differ, and are one weight in this network; pass over one of them (skip)");
}

/// Throws FileError that lists what the network has and the file lacks, and the other way round.
inline void require_all(const std::string& source, const std::vector<std::string>& missing,
                        const std::vector<std::string>& left_over) {
  if (missing.empty() && left_over.empty()) return;
  const auto list = [](const std::vector<std::string>& names, const char* what) {
    return names.empty() ? "" : quoted_list(names) + (names.size() == 1 ? " is " : " are ") + what;
  };
  std::string close;
  for (const std::string& name : missing)
    if (const auto others = close_names(name, left_over); !others.empty())
      close += (close.empty() ? "; " : ", ") + to_text("'", name, "' is close to ", quoted_list(others));
  fail<FileError>(source, ": was not saved from this network: ", list(missing, "missing"),
                  missing.empty() || left_over.empty() ? "" : ", ", list(left_over, "left over"), close,
                  "; names can be changed (rename) or passed over (skip)");
}

/// Throws FileError where a file notes other classes than the options name.
inline void require_classes(const Safetensors& content, const LoadOptions& options) {
  const auto& source = content.tensors.source();
  const auto known = class_names_in(content.metadata, source);
  require<FileError>(same_class_names(known, options.classes), source, ": tells other classes apart, ",
                     list_class_names(known), ", than the data has, ", list_class_names(options.classes),
                     "; take data of the same, or start training from the file, with a new head");
}

/// The options that pass over the head where they ask for that and the file has not all of it in its shapes, or has one
/// for other classes.
[[nodiscard]] inline LoadOptions with_head_skipped(const Safetensors& content, const std::vector<NetworkName>& network,
                                                   const LoadOptions& options) {
  LoadOptions result = options;
  const RenamedTensors file(content, options.rename);
  bool fits = same_class_names(options.classes, class_names_in(content.metadata, content.tensors.source()));
  for (const NetworkName& own : network) {
    const auto* stored = file.find(own.name);
    fits = fits && (!own.head || (stored != nullptr && content.tensors.at(*stored).shape == own.shape));
  }
  for (const NetworkName& own : network)
    if (options.new_head && own.head && !fits) result.skip.add(own.name);
  return result;
}

/// What reading `stored_names` of a file makes of it.
[[nodiscard]] inline LoadReport report_of(const Safetensors& content, const std::vector<NetworkName>& network,
                                          const std::map<std::string, std::string>& stored_names) {
  LoadReport report{.metadata = content.metadata};
  std::set<std::string> used;
  for (const auto& [name, stored] : stored_names) used.insert(stored);
  for (const NetworkName& own : network)
    (stored_names.contains(own.name) ? report.taken : report.kept).push_back(own.name);
  for (const NamedTensor& tensor : content.tensors)
    if (!used.contains(tensor.name)) report.passed_over.push_back(tensor.name);
  return report;
}

/// For each name of a network that is to be read the name in the file. Of tied weights (one id) one name is enough.
/// Counters of batches, which PyTorch keeps, are passed over.
[[nodiscard]] inline std::map<std::string, std::string> match_names(const Safetensors& content,
                                                                    const std::vector<NetworkName>& network,
                                                                    const LoadOptions& options) {
  const RenamedTensors file(content, options.rename);
  require_known(options.skip, content.tensors.source(), network, file);
  std::map<const void*, std::string> by_id;
  for (const NetworkName& own : network)
    if (const auto* stored = file.find(own.name); stored && !options.skip.contains(own.name)) {
      const auto [known, first] = by_id.emplace(own.id, *stored);
      if (!first) require_tied(content, known->second, *stored);
    }
  std::map<std::string, std::string> result;
  std::set<std::string> taken;
  std::vector<std::string> missing, left_over;
  for (const auto& [name, id, shape, head] : network) {
    if (options.skip.contains(name)) continue;
    if (const auto found = by_id.find(id); found != by_id.end()) {
      result.emplace(name, found->second);
      if (const auto* own = file.find(name)) taken.insert(*own);
    } else {
      missing.push_back(name);
    }
  }
  for (const auto& [name, stored] : file.all())
    if (!taken.contains(stored) && !options.skip.contains(name) && !name.ends_with("num_batches_tracked"))
      left_over.push_back(name);
  require_all(content.tensors.source(), missing, left_over);
  return result;
}

}  // namespace detail
}  // namespace lpw::inline LPW_ABI::io
