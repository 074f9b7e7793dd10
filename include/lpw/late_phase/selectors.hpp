// What release makes late-phase weights of: groups of parameters, parameters by name, all, and rank-1 factors.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/nn/parameter.hpp>
#include <lpw/tensor/patterns.hpp>

namespace lpw::inline LPW_ABI {

/// A list of selectors. A parameter is selected by any of them.
struct Selectors {
  Group groups = Group::none;              // rank_one: factors on all dense weights that are not selected themselves
  bool all = false;                        // every parameter
  std::vector<std::string> patterns = {};  // names of parameters, * stands for any part of one: "layer3.*", "fc.weight"

  Selectors() = default;
  Selectors(Group selected) : groups(selected) {}
  /// Each text is batchnorm, head, rank1, templates, all, or a pattern. Throws OptionError for an empty one, or one
  /// that stands there twice.
  explicit Selectors(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) add(text);
  }
  /// The same, separated by commas: "batchnorm,head", "rank1", "layer3.*,fc.weight"; "none" for nothing.
  [[nodiscard]] static Selectors parse(std::string_view text) {
    std::vector<std::string> texts;
    if (text == "none") return {};
    for (const auto part : split_text(text, ',')) texts.emplace_back(part);
    return Selectors(texts);
  }

  [[nodiscard]] bool empty() const { return groups == Group::none && !all && patterns.empty(); }
  [[nodiscard]] bool operator==(const Selectors&) const = default;
  /// Whether a parameter of that name is selected.
  template <class W, class D>
  [[nodiscard]] bool selects(const std::string& name, const nn::Parameter<W, D>& parameter) const {
    return all || contains(groups, parameter.group()) || matches_any(name, patterns);
  }

  /// As parse reads it.
  [[nodiscard]] std::string text() const {
    std::string result;
    const auto put = [&](const std::string& selector) { result += (result.empty() ? "" : ",") + selector; };
    for (const auto& [name, group] : names())
      if (contains(groups, group)) put(name);
    if (all) put("all");
    for (const std::string& pattern : patterns) put(pattern);
    return result.empty() ? "none" : result;
  }

 private:
  static const std::vector<std::pair<std::string, Group>>& names() {
    static const std::vector<std::pair<std::string, Group>> known{{"batchnorm", Group::batch_norm},
                                                                  {"head", Group::head},
                                                                  {"rank1", Group::rank_one},
                                                                  {"templates", Group::templates}};
    return known;
  }

  void add(const std::string& text) {
    const auto once = [&](bool is_new) { require<OptionError>(is_new, "late-phase weights: names ", text, " twice"); };
    require<OptionError>(!text.empty(),
                         "late-phase weights: an empty selector; expected batchnorm, head, rank1, templates, all, or "
                         "names of parameters");
    if (const auto found =
            std::find_if(names().begin(), names().end(), [&](const auto& known) { return known.first == text; });
        found != names().end()) {
      once(!contains(groups, found->second));
      groups = groups | found->second;
    } else if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*-") !=
               std::string::npos) {
      fail<OptionError>("late-phase weights: \"", text,
                        "\" is no name; expected batchnorm, head, rank1, templates, all, or names of parameters");
    } else if (text == "all") {
      once(!all);
      all = true;
    } else {
      once(std::find(patterns.begin(), patterns.end(), text) == patterns.end());
      patterns.push_back(text);
    }
  }
};

}  // namespace lpw::inline LPW_ABI
