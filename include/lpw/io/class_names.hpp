// Names of classes as a text that files of networks carry along, under `classes`: a network tells those apart that it
// was trained on, in their order.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::io {

/// A JSON array, which class_names_in reads. What is not UTF-8 in a name is replaced.
[[nodiscard]] inline std::string describe_class_names(const std::vector<std::string>& names) {
  return nlohmann::json(names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// What a file's metadata say; none where they say nothing. Throws FileError, naming the file, for what is no list of
/// names.
[[nodiscard]] inline std::vector<std::string> class_names_in(const std::map<std::string, std::string>& metadata,
                                                             const std::string& file) {
  const auto found = metadata.find("classes");
  if (found == metadata.end()) return {};
  const auto names = nlohmann::json::parse(found->second, nullptr, false);
  require<FileError>(names.is_array() && std::all_of(names.begin(), names.end(),
                                                     [](const nlohmann::json& name) { return name.is_string(); }),
                     file, ": damaged: its `classes` are no list of names, but ", found->second.substr(0, 60));
  return names.get<std::vector<std::string>>();
}

/// Whether both are the same in the same order, as far as both are known.
[[nodiscard]] inline bool same_class_names(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return a.empty() || b.empty() || describe_class_names(a) == describe_class_names(b);
}

/// For messages: "cat, dog and horse", or of many the first, "airplane, automobile, bird and 7 more".
[[nodiscard]] inline std::string list_class_names(const std::vector<std::string>& names) {
  constexpr std::size_t most = 4;
  const std::size_t shown = names.size() > most ? most - 1 : names.size();
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return names.size() > most ? to_text(text, " and ", names.size() - shown, " more") : text;
}

}  // namespace lpw::inline LPW_ABI::io
