// What a checkpoint records of its run's options, and how --eval takes them from there. Beside a trainer's Options
// stand
//   describe(options, data)                what a checkpoint records of the data: a JSON object
//   adopt_data(options, recorded, given)   takes the data from that record
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/train/printable.hpp>

#include "run_option_table.hpp"

namespace example {

/// The value of an option as checkpoints record it: texts without what JSON cannot hold.
template <class Options, class T>
[[nodiscard]] T recorded_value(const Option<Options>& option, const Options& o, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return option.recorded != nullptr ? option.recorded(o) : lpw::train::one_line(value);
  } else {
    return value;
  }
}

/// What a checkpoint records of its run: one made with other options, or a program whose sums round otherwise, is not
/// continued. One that is evaluated is taken as it is. `engine`: see Machine.
template <class Options, class Data>
[[nodiscard]] nlohmann::json description(const Options& o, const Data& data, const std::string& engine) {
  if (!o.recorded.is_null()) return o.recorded;
  nlohmann::json result = describe(o, data);
  result["engine"] = engine;
  for (const auto& option : option_table<Options>())
    if (option.is_recorded() && !(option.later && option.is_default(o)))
      option.visit(o, [&](const auto& value) { result[option.name] = recorded_value(option, o, value); });
  return result;
}

/// Takes the options of a run from its checkpoint, for --eval. Those for which given(name) holds must be the same, but
/// for those that are free to choose then.
template <class Options, class Given>
void adopt(Options& o, const nlohmann::json& recorded, Given&& given) {
  std::string differences;
  const auto take = [&](const Option<Options>& option, auto& value) {
    using T = std::decay_t<decltype(value)>;
    const auto& name = option.name;
    T trained = value;
    if (!option.later || recorded.contains(name)) {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        lpw::require<lpw::FileError>(recorded.at(name).is_number_integer(), o.eval, ": damaged: its ", name,
                                     " is not a whole number");
      recorded.at(name).get_to(trained);
    } else {
      const Options defaults;
      option.visit(defaults, [&](const auto& standard) {
        if constexpr (std::is_same_v<std::decay_t<decltype(standard)>, T>) trained = standard;
      });
    }
    if (given(name) && (option.role == Role::machine || option.role == Role::evaluation)) return;
    if (given(name) && recorded_value(option, o, value) != trained)
      differences += lpw::to_text(differences.empty() ? "" : "; ", name, " was ", nlohmann::json(trained), ", now ",
                                  nlohmann::json(value));
    value = std::move(trained);
  };
  try {
    for (const auto& option : option_table<Options>())
      if (option.is_recorded()) option.visit(o, [&](auto& value) { take(option, value); });
    lpw::require<lpw::OptionError>(differences.empty(), o.eval, ": was trained with other options: ", differences,
                                   "; leave them out, --eval takes them from the checkpoint");
    adopt_data(o, recorded, given);
  } catch (const nlohmann::json::exception&) {
    lpw::fail<lpw::FileError>(o.eval, ": is not a checkpoint of this trainer");
  }
  o.recorded = recorded;
}

}  // namespace example
