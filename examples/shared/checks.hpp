// What a value of an option must be. A check sees the text that a user wrote, wherever he wrote it.
#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <lpw/io/onnx/compiled.hpp>
#include <lpw/tensor/text.hpp>

#include "numbers.hpp"

namespace example {

struct Check {
  /// What is wrong with a value, or nothing. May rewrite the value.
  std::function<std::string(std::string&)> complaint = {};
  /// What it allows, for --help, where that is a list.
  std::string choices = {};
};

/// A number in [low, high], or `instead`; rewritten so that CLI11 reads the same number. `expected` completes "expected
/// a number ...".
template <class T>
[[nodiscard]] Check number(const std::string& expected, T low, T high, std::optional<T> instead = {}) {
  return {.complaint = [=](std::string& text) {
    const auto value = read_number<T>(text);
    if (!value || !((*value >= low && *value <= high) || (instead && *value == *instead)))
      return lpw::to_text("expected a ", std::integral<T> ? "whole " : "", "number ", expected, ", found ",
                          text.empty() ? "nothing" : text);
    text = lpw::shortest(*value);
    return std::string();
  }};
}
template <class T>
[[nodiscard]] Check range(T low, T high, std::optional<T> instead = {}) {
  const std::string limits = "from " + lpw::shortest(low) + " to " + lpw::shortest(high);
  return number(limits + (instead ? ", or " + lpw::shortest(*instead) : ""), low, high, instead);
}
template <class T>
[[nodiscard]] Check at_least(T low, std::optional<T> instead = {}, T high = static_cast<T>(1e12)) {
  return range(low, high, instead);
}
[[nodiscard]] inline Check positive(double high = 1e12) {
  return number("above 0 and at most " + lpw::shortest(high), std::numeric_limits<double>::min(), high);
}

/// One of some words.
[[nodiscard]] inline Check one_of(const std::vector<std::string>& words) {
  std::string choices;
  for (const auto& word : words) choices += (choices.empty() ? "" : ",") + word;
  choices = "{" + choices + "}";
  return {.complaint =
              [=](const std::string& text) {
                const bool found = std::find(words.begin(), words.end(), text) != words.end();
                return found ? std::string() : text + " not in " + choices;
              },
          .choices = choices};
}

/// A text that parse(text) reads, which throws OptionError for others.
template <class Parse>
[[nodiscard]] Check read_by(Parse parse) {
  return {.complaint = [parse](const std::string& text) {
    try {
      (void)parse(text);
    } catch (const lpw::OptionError& error) {
      return std::string(error.what());
    }
    return std::string();
  }};
}

/// The name of a file or a folder. A word that begins as options do is one whose value was forgotten.
[[nodiscard]] inline Check path_name() {
  return {.complaint = [](const std::string& text) {
    if (text.empty()) return std::string("expected a name, found nothing");
    return text.starts_with("--") ? lpw::to_text("expected a name, found ", text, "; write ./", text, " if that is one")
                                  : std::string();
  }};
}

/// A name that ends in .onnx or .safetensors.
[[nodiscard]] inline Check export_name() {
  return {.complaint = [](std::string& text) {
    if (auto complaint = path_name().complaint(text); !complaint.empty()) return complaint;
    const bool onnx = text.ends_with(".onnx");
    if (!onnx && !text.ends_with(".safetensors"))
      return "expected a name that ends in .onnx or .safetensors, found " + text;
    return onnx && !lpw::io::onnx::compiled
               ? std::string(
                     "this program was built without ONNX; configure it with -DLPW_ONNX=ON, or export "
                     "NAME.safetensors")
               : std::string();
  }};
}

/// What follows the sign in --flag=true.
[[nodiscard]] inline Check truth() {
  return {.complaint = [](const std::string& text) {
    return text == "true" || text == "false" ? std::string() : "expected true or false, found " + text;
  }};
}

}  // namespace example
