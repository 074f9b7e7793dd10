// What release makes late-phase weights of: groups of parameters, parameters by name, all, rank-1 factors, and additive
// deviations.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/nn/parameter.hpp>
#include <lpw/tensor/patterns.hpp>

namespace lpw::inline LPW_ABI {

/// A list of selectors. A parameter is selected by any of them.
struct Selectors {
  Group groups = Group::none;              // rank_one: factors on dense weights that take them and are not selected
  bool all = false;                        // every parameter
  std::vector<std::string> patterns = {};  // names of parameters, * stands for any part of one: "layer3.*", "fc.weight"

  std::vector<std::string> additive = {};  // of parameters that are not selected themselves, and get deviations

  /// What texts there are, for messages.
  static constexpr const char* expected =
      "; expected batchnorm, layernorm, groupnorm, head, rank1, templates, own:NUMBER, all, additive, or names of "
      "parameters";

  Selectors() = default;
  /// Kinds alone.
  Selectors(Group selected) : groups(selected) {}
  /// Each text is batchnorm, layernorm, groupnorm, head, rank1, templates, own:NUMBER, all, a pattern,
  /// additive:PATTERN, or additive for additive:*. Throws OptionError for an empty one, or one that stands there twice.
  explicit Selectors(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) add(text);
  }
  explicit Selectors(std::initializer_list<std::string> texts) : Selectors(std::vector<std::string>(texts)) {}
  /// Ends the compilation with one line where a text is given as it is.
  template <class Text>
    requires std::is_convertible_v<const Text&, std::string_view> Selectors(const Text&) {
      static_assert(std::is_void_v<Text>,
                    "lpw: late-phase weights are chosen by groups, lpw::Group::rank_one, or by a text that "
                    "lpw::Selectors::parse reads");
    }
  /// The same, separated by commas: "batchnorm,head", "rank1", "layer3.*,fc.weight"; "none" for nothing.
  [[nodiscard]] static Selectors parse(std::string_view text) {
    std::vector<std::string> texts;
    if (text == "none") return {};
    for (const auto part : split_text(text, ',')) texts.emplace_back(part);
    return Selectors(texts);
  }

  /// Whether it selects nothing.
  [[nodiscard]] bool empty() const { return groups == Group::none && !all && patterns.empty() && additive.empty(); }
  [[nodiscard]] bool operator==(const Selectors&) const = default;
  /// Whether a parameter of that name is selected.
  template <class W, class D>
  [[nodiscard]] bool selects(const std::string& name, const nn::Parameter<W, D>& parameter) const {
    return all || contains(groups, parameter.group()) || matches_any(name, patterns);
  }
  /// Whether a parameter of that name gets deviations, unless it is selected itself.
  [[nodiscard]] bool adds_to(const std::string& name) const { return matches_any(name, additive); }

  /// As parse reads it.
  [[nodiscard]] std::string text() const {
    std::string result;
    const auto put = [&](const std::string& selector) { result += (result.empty() ? "" : ",") + selector; };
    for (const auto& [name, group] : names())
      if (contains(groups, group)) put(name);
    if (all) put("all");
    for (const std::string& pattern : patterns) put(pattern);
    for (const std::string& pattern : additive) put(pattern == "*" ? "additive" : "additive:" + pattern);
    return result.empty() ? "none" : result;
  }

 private:
  static const std::vector<std::pair<std::string, Group>>& names() {
    static const auto known = [] {
      std::vector<std::pair<std::string, Group>> texts{
          {"batchnorm", Group::batch_norm}, {"layernorm", Group::layer_norm},
          {"groupnorm", Group::group_norm}, {"head", Group::head},
          {"rank1", Group::rank_one},       {"templates", Group::templates}};
      for (int number = 0; number < 16; ++number) texts.emplace_back(to_text("own:", number), own_group(number));
      return texts;
    }();
    return known;
  }

  void add(const std::string& text) {
    const auto once = [&](bool is_new) { require<OptionError>(is_new, "late-phase weights: names ", text, " twice"); };
    const auto put = [&](std::vector<std::string>& list, const std::string& pattern) {
      require_name(text, pattern);
      once(std::find(list.begin(), list.end(), pattern) == list.end());
      list.push_back(pattern);
    };
    require<OptionError>(!text.empty(), "late-phase weights: an empty selector", expected);
    const std::string prefix = "additive:";
    if (const auto found =
            std::find_if(names().begin(), names().end(), [&](const auto& known) { return known.first == text; });
        found != names().end()) {
      once(!contains(groups, found->second));
      groups = groups | found->second;
    } else if (text == "all") {
      once(!all);
      all = true;
    } else if (text == "additive") {
      put(additive, "*");
    } else if (text.starts_with(prefix)) {
      put(additive, text.substr(prefix.size()));
    } else {
      put(patterns, text);
    }
  }

  /// Throws OptionError unless a selector's pattern is of characters that names have.
  static void require_name(const std::string& selector, const std::string& pattern) {
    constexpr const char* characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*-";
    require<OptionError>(!pattern.empty() && pattern.find_first_not_of(characters) == std::string::npos,
                         "late-phase weights: \"", selector, "\" is no name", expected);
  }
};

}  // namespace lpw::inline LPW_ABI
