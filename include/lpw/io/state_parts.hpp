// What a loop's state is made of beside its network: optimizers, averages, the place in the data, and carried tensors,
// each with its way into the file and back.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/data/place.hpp>
#include <lpw/io/average_state.hpp>
#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::io {

/// A tensor that a loop carries from one iteration to the next, an LSTM's state, say: by carried().
template <class T, class D>
struct Carried {
  std::string name;
  Tensor<T, D>& tensor;
};

/// What save_state keeps of a tensor, and load_state puts there, in whatever shape it was saved.
template <class T, class D>
[[nodiscard]] Carried<T, D> carried(std::string name, Tensor<T, D>& tensor) {
  return {std::move(name), tensor};
}

namespace detail {

/// A part of a state: what it is, what the file's header says of it, and its tensors under its name. check() comes
/// before anything is changed.
template <class Part>
struct StatePart {
  static_assert(!std::is_same_v<Part, Part>,
                "lpw: a state is made of optimizers, averages, a data::Place, carried(name, tensor) and, as the last "
                "argument, an nlohmann::json");
};

template <class W, class D>
struct StatePart<optim::Optimizer<W, D>> {
  using Optimizer = optim::Optimizer<W, D>;
  static std::string kind(const Optimizer&) { return "optimizer"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, Optimizer& optimizer) {
    for (const auto& [state, pair] : optimizer.states()) add_pair(tensors, name + '.' + state, pair);
    return {{"type", optimizer.name()}, {"base_steps", optimizer.steps().base}, {"late_steps", optimizer.steps().late}};
  }
  static void check(const nlohmann::json& record, const std::string& source, const Optimizer& optimizer) {
    require<FileError>(record.at("type") == optimizer.name(), source, ": its optimizer is ",
                       record.at("type").get<std::string>(), ", not ", optimizer.name());
    for (const char* steps : {"base_steps", "late_steps"})
      require<FileError>(record.at(steps).is_number_integer() && record.at(steps) >= 0, source, ": damaged: ", steps,
                         " is ", record.at(steps).dump());
  }
  static void read(const NamedTensors& tensors, const nlohmann::json& record, const std::string& name,
                   Optimizer& optimizer) {
    for (auto& [state, pair] : optimizer.states()) get_pair(tensors, name + '.' + state, pair);
    optimizer.set_steps({record.at("base_steps").get<std::int64_t>(), record.at("late_steps").get<std::int64_t>()});
  }
};

template <class W, class D>
struct StatePart<optim::Average<W, D>> {
  using Average = optim::Average<W, D>;
  static std::string kind(const Average&) { return "average"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, Average& average) {
    add_average(tensors, name, average);
    return {{"type", average.name()}, {"states", average.states().size()}};
  }
  static void check(const nlohmann::json& record, const std::string& source, const Average& average) {
    require<FileError>(record.at("type") == average.name(), source, ": its average is ",
                       record.at("type").get<std::string>(), ", not ", average.name());
    require<FileError>(record.at("states") == average.states().size(), source, ": its ", average.name(), " keeps ",
                       record.at("states").dump(), " networks, not ", average.states().size());
  }
  static void read(const NamedTensors& tensors, const nlohmann::json&, const std::string& name, Average& average) {
    get_average(tensors, name, average);
  }
};

template <>
struct StatePart<data::Place> {
  static std::string kind(const data::Place&) { return "place"; }
  static nlohmann::json write(NamedTensors&, const std::string&, const data::Place& place) {
    return {{"epoch", place.epoch}, {"iteration", place.iteration}, {"step", place.step}};
  }
  static void check(const nlohmann::json& record, const std::string& source, const data::Place&) {
    for (const char* count : {"epoch", "iteration", "step"})
      require<FileError>(record.at(count).is_number_integer() && record.at(count) >= 0, source, ": damaged: the ",
                         count, " of its place is ", record.at(count).dump());
  }
  static void read(const NamedTensors&, const nlohmann::json& record, const std::string&, data::Place& place) {
    const auto get = [&](const char* count) { return record.at(count).get<std::int64_t>(); };
    place = {get("epoch"), get("iteration"), get("step")};
  }
};

template <class T, class D>
struct StatePart<Carried<T, D>> {
  static std::string kind(const Carried<T, D>& part) { return "carried '" + part.name + "'"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, const Carried<T, D>& part) {
    if (!part.tensor.empty()) tensors.add(name, to_host(part.tensor));
    return {{"type", dtype_name<T>()}, {"empty", part.tensor.empty()}};
  }
  static void check(const nlohmann::json& record, const std::string& source, const Carried<T, D>& part) {
    require<FileError>(record.at("type") == dtype_name<T>() && record.at("empty").is_boolean(), source,
                       ": what is carried as '", part.name, "' is ", record.at("type").dump(), ", not ",
                       dtype_name<T>());
  }
  static void read(const NamedTensors& tensors, const nlohmann::json& record, const std::string& name,
                   const Carried<T, D>& part) {
    if (record.at("empty").get<bool>()) {
      part.tensor = {};
    } else {
      part.tensor = clone(to_device<D>(tensors.get<T>(name, tensors.at(name).shape)));
    }
  }
};

/// What an argument is as a part: optimizers and averages are known by their base.
template <class W, class D>
optim::Optimizer<W, D>* known_base(const optim::Optimizer<W, D>&);
template <class W, class D>
optim::Average<W, D>* known_base(const optim::Average<W, D>&);

template <class Part>
struct PartBase {
  using type = Part;
};
template <class Part>
  requires requires(const Part& part) { known_base(part); }
struct PartBase<Part> {
  using type = std::remove_pointer_t<decltype(known_base(std::declval<const Part&>()))>;
};
template <class Part>
using PartOf = StatePart<typename PartBase<std::remove_cvref_t<Part>>::type>;
template <class Part>
inline constexpr bool is_json = std::is_same_v<std::remove_cvref_t<Part>, nlohmann::json>;

}  // namespace detail
}  // namespace lpw::inline LPW_ABI::io
