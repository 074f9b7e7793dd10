// What a loop's state is made of beside its network: optimizers with their rates, averages, the best candidate, the
// place in the data, plateaus and carried tensors, each with its way into the file and back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/data/place.hpp>
#include <lpw/io/average_state.hpp>
#include <lpw/optim/best.hpp>
#include <lpw/optim/optimizer.hpp>
#include <lpw/optim/plateau.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/patterns.hpp>

namespace lpw::inline LPW_ABI::io {

/// A tensor that a loop carries from one iteration to the next, an LSTM's state, say: by carried().
template <class T, class D>
struct Carried {
  std::string name;      // in the file
  Tensor<T, D>& tensor;  // of the loop
};

/// What save_state keeps of a tensor, and load_state puts there, in whatever shape it was saved.
template <class T, class D>
[[nodiscard]] Carried<T, D> carried(std::string name, Tensor<T, D>& tensor) {
  return {std::move(name), tensor};
}

namespace detail {

/// What a part is checked against: the file, and the stores that the network is going to have.
struct StateFile {
  const NamedTensors& tensors;
  Shape base, late, buffers;  // [1, N], [K, P], [K, Q]
  [[nodiscard]] const std::string& source() const { return tensors.source(); }
};

/// A part of a state: what it is, what the file's header says of it, and its tensors under its name. check() comes
/// before anything is changed.
template <class Part>
struct StatePart {
  static_assert(!std::is_same_v<Part, Part>,
                "lpw: a state is made of optimizers, averages, BestWeights, a data::Place, an optim::Plateau, "
                "carried(name, tensor) "
                "and, as the last "
                "argument, an nlohmann::json");
};

/// Rates as a file's header has them, which may be none.
[[nodiscard]] inline nlohmann::json rates_record(const std::optional<optim::Rates>& rates) {
  if (!rates) return nullptr;
  return {{"learning_rate", rates->learning_rate}, {"weight_decay", rates->weight_decay}};
}
/// What tells a schedule from another one: whether there is one, and its factors after 0, 1, 2, 4, ... epochs or
/// iterations. A schedule itself is the program's.
[[nodiscard]] inline nlohmann::json schedule_record(const std::optional<optim::Schedule>& schedule) {
  if (!schedule) return nullptr;
  std::vector<double> factors;
  for (std::int64_t time = 0; time < 1 << 16; time = std::max<std::int64_t>(1, 2 * time))
    factors.push_back(factor(*schedule, optim::Time{.epoch = time, .step = time}));
  return factors;
}
[[nodiscard]] inline bool same_schedule(const nlohmann::json& one, const nlohmann::json& other) {
  if (!one.is_array() || !other.is_array()) return one == other;
  const auto factors = one.get<std::vector<double>>(), others = other.get<std::vector<double>>();
  return std::equal(factors.begin(), factors.end(), others.begin(), others.end(), [](double a, double b) {
    return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b));  // cosines of another library's
  });
}

/// What FactorDecay's are called in a file's header.
inline constexpr std::string_view factor_decays[] = {"to_zero", "to_one", "none"};

[[nodiscard]] inline nlohmann::json rules_record(const optim::RateRules& rules) {
  nlohmann::json groups = nlohmann::json::array();
  const auto number = [](const std::optional<double>& value) { return value ? nlohmann::json(*value) : nullptr; };
  for (const optim::ParameterGroup& group : rules.groups)
    groups.push_back({{"names", group.names},
                      {"learning_rate", number(group.learning_rate)},
                      {"weight_decay", number(group.weight_decay)},
                      {"frozen", group.frozen},
                      {"schedule", schedule_record(group.schedule)}});
  return {{"base", rates_record(rules.base)},
          {"late", rates_record(rules.late)},
          {"coefficients", rates_record(rules.coefficients)},
          {"groups", groups},
          {"factor_decay", factor_decays[static_cast<std::size_t>(rules.factor_decay)]}};
}

/// What was recorded of such rules, with the schedules of `present` ones. Throws FileError for groups of other names or
/// with other schedules, and for rates that cannot be. Files of before do not say what decay and schedules were.
[[nodiscard]] inline optim::RateRules recorded_rules(const nlohmann::json& record, optim::RateRules present,
                                                     const std::string& source) {
  const auto number = [&](const nlohmann::json& value) -> std::optional<double> {
    if (value.is_null()) return std::nullopt;
    require<FileError>(value.is_number() && value >= 0, source, ": damaged: a rate of its optimizer is ", value.dump());
    return value.get<double>();
  };
  const auto rates = [&](const nlohmann::json& both) -> std::optional<optim::Rates> {
    if (both.is_null()) return std::nullopt;
    return optim::Rates{number(both.at("learning_rate")).value_or(0), number(both.at("weight_decay")).value_or(0)};
  };
  const auto& groups = record.at("groups");
  require<FileError>(groups.is_array() && groups.size() == present.groups.size(), source, ": its optimizer has ",
                     groups.size(), " parameter groups, not ", present.groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    optim::ParameterGroup& group = present.groups[i];
    const auto names = groups[i].at("names").get<std::vector<std::string>>();
    require<FileError>(names == group.names, source, ": parameter group ", i + 1, " of its optimizer is of ",
                       quoted_list(names), ", not of ", quoted_list(group.names));
    group.learning_rate = number(groups[i].at("learning_rate"));
    group.weight_decay = number(groups[i].at("weight_decay"));
    group.frozen = groups[i].at("frozen").get<bool>();
    const auto here = schedule_record(group.schedule);
    require<FileError>(same_schedule(groups[i].value("schedule", here), here), source, ": parameter group ", i + 1,
                       " of its optimizer has another schedule than ", quoted_list(group.names),
                       " here; set that of the saved one first");
  }
  present.base = rates(record.at("base")).value_or(optim::Rates());
  present.late = rates(record.at("late")), present.coefficients = rates(record.at("coefficients"));
  const auto named = record.value("factor_decay", nlohmann::json());
  const auto* decay = std::find(std::begin(factor_decays), std::end(factor_decays), named);
  require<FileError>(named.is_null() || decay != std::end(factor_decays), source,
                     ": damaged: its optimizer's factors decay ", named.dump());
  if (!named.is_null()) present.factor_decay = static_cast<optim::FactorDecay>(decay - std::begin(factor_decays));
  return present;
}

/// A count of a file's header. Throws FileError for what is none.
[[nodiscard]] inline std::int64_t recorded_count(const nlohmann::json& record, const std::string& name,
                                                 const std::string& source) {
  const auto& value = record.at(name);
  require<FileError>(value.is_number_integer() && value >= 0, source, ": damaged: '", name, "' is ", value.dump());
  return value.get<std::int64_t>();
}

/// A score as a file's header has it, where JSON has no infinity.
[[nodiscard]] inline nlohmann::json score_record(double score) {
  if (is_finite(score)) return score;
  return score > 0 ? "infinity" : "-infinity";
}
/// Throws FileError for what score_record does not make of a number.
[[nodiscard]] inline double recorded_score(const nlohmann::json& record, const std::string& source) {
  for (const double infinite : {HUGE_VAL, -HUGE_VAL})
    if (record == score_record(infinite)) return infinite;
  require<FileError>(record.is_number(), source, ": damaged: the score of its best candidate is ", record.dump());
  return record.get<double>();
}

template <class W, class D>
struct StatePart<optim::Optimizer<W, D>> {
  using Optimizer = optim::Optimizer<W, D>;
  static std::string kind(const Optimizer&) { return "optimizer"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, Optimizer& optimizer) {
    for (const auto& [state, pair] : optimizer.states()) add_pair(tensors, name + '.' + state, pair);
    return {{"type", optimizer.name()},
            {"base_steps", optimizer.steps().base},
            {"late_steps", optimizer.steps().late},
            {"missed_steps", optimizer.missed_steps()},
            {"rates", rules_record(optimizer.rules())}};
  }
  static void check(const nlohmann::json& record, const StateFile& file, const std::string& name,
                    Optimizer& optimizer) {
    const std::string& source = file.source();
    require<FileError>(record.at("type") == optimizer.name(), source, ": its optimizer is ",
                       record.at("type").get<std::string>(), ", not ", optimizer.name());
    for (const char* steps : {"base_steps", "late_steps"}) (void)recorded_count(record, steps, source);
    const auto missed = missed_steps(record);
    for (const auto& [parameter, count] : missed.get<std::map<std::string, nlohmann::json>>())
      (void)recorded_count(missed, parameter, source);
    (void)recorded_rules(record.at("rates"), optimizer.rules(), source);
    for (const auto& state : optimizer.states())
      require_pair<W>(file.tensors, name + '.' + state.name, file.base, file.late);
  }
  static void read(const NamedTensors& tensors, const nlohmann::json& record, const std::string& name,
                   Optimizer& optimizer) {
    for (auto& [state, pair] : optimizer.states()) get_pair(tensors, name + '.' + state, pair);
    optimizer.set_steps({record.at("base_steps").get<std::int64_t>(), record.at("late_steps").get<std::int64_t>()});
    optimizer.set_missed_steps(missed_steps(record).get<std::map<std::string, std::int64_t>>());
    optimizer.set_rules(recorded_rules(record.at("rates"), optimizer.rules(), tensors.source()));
  }

 private:
  /// By parameters' names; files of before do not say.
  [[nodiscard]] static nlohmann::json missed_steps(const nlohmann::json& record) {
    return record.value("missed_steps", nlohmann::json::object());
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
  static void check(const nlohmann::json& record, const StateFile& file, const std::string& name, Average& average) {
    const std::string& source = file.source();
    require<FileError>(record.at("type") == average.name(), source, ": its average is ",
                       record.at("type").get<std::string>(), ", not ", average.name());
    require<FileError>(record.at("states") == average.states().size(), source, ": its ", average.name(), " keeps ",
                       record.at("states").dump(), " networks, not ", average.states().size());
    (void)recorded_average_counts(file.tensors, name);
    for (const auto& state : average.states())
      require_pair<W>(file.tensors, name + '.' + state.name, file.base, file.late);
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
  static void check(const nlohmann::json& record, const StateFile& file, const std::string&, const data::Place&) {
    for (const char* count : {"epoch", "iteration", "step"}) (void)recorded_count(record, count, file.source());
  }
  static void read(const NamedTensors&, const nlohmann::json& record, const std::string&, data::Place& place) {
    const auto get = [&](const char* count) { return record.at(count).get<std::int64_t>(); };
    place = {get("epoch"), get("iteration"), get("step")};
  }
};

template <class W, class D>
struct StatePart<optim::BestWeights<W, D>> {
  using Best = optim::BestWeights<W, D>;
  static std::string kind(const Best&) { return "best"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, const Best& best) {
    if (!best.candidate()) return nullptr;
    add_pair(tensors, name, best.weights());
    tensors.add(name + ".buffers", to_host(best.statistics()));
    nlohmann::json segments = nlohmann::json::array();
    for (const nn::Segment& segment : best.form().segments)
      segments.push_back({{"name", segment.name}, {"late", segment.late_phase}, {"size", segment.size}});
    return {{"name", best.candidate()->name},
            {"score", score_record(best.candidate()->score)},
            {"members", best.form().members},
            {"segments", segments}};
  }
  static void check(const nlohmann::json& record, const StateFile& file, const std::string& name, const Best&) {
    if (record.is_null()) return;
    const std::string& source = file.source();
    (void)record.at("name").get<std::string>();
    (void)recorded_score(record.at("score"), source);
    const std::int64_t members = recorded_count(record, "members", source);
    std::int64_t left[2] = {columns_of(file, name + ".base"), columns_of(file, name + ".late")};
    for (const auto& segment : record.at("segments")) {
      const std::int64_t size = recorded_count(segment, "size", source);
      (void)segment.at("name").template get<std::string>();
      std::int64_t& room = left[segment.at("late").template get<bool>()];
      require<FileError>(size <= room, source, ": damaged: its best candidate has more weights than it says");
      room -= size;
    }
    require<FileError>(left[0] == 0 && left[1] == 0, source,
                       ": damaged: its best candidate has fewer weights than it says");
    require_pair<W>(file.tensors, name, {1, columns_of(file, name + ".base")},
                    {members, columns_of(file, name + ".late")});
    file.tensors.require_form<W>(name + ".buffers", {members, file.buffers[1]});
  }
  static void read(const NamedTensors& tensors, const nlohmann::json& record, const std::string& name, Best& best) {
    if (record.is_null()) {
      best = {};
      return;
    }
    std::vector<nn::Segment> segments;
    std::int64_t columns[2] = {0, 0};
    for (const auto& segment : record.at("segments")) {
      const bool late = segment.at("late").template get<bool>();
      const auto size = segment.at("size").template get<std::int64_t>();
      segments.push_back({segment.at("name").template get<std::string>(), nullptr, late, columns[late], size});
      columns[late] += size;
    }
    const auto stored = [&](const char* part) {
      return to_device<D>(tensors.get<W>(name + part, tensors.at(name + part).shape));
    };
    best.set_candidate({record.at("name").get<std::string>(), recorded_score(record.at("score"), tensors.source())},
                       record.at("members").get<std::int64_t>(), std::move(segments),
                       {stored(".base"), stored(".late")}, stored(".buffers"));
  }

 private:
  [[nodiscard]] static std::int64_t columns_of(const StateFile& file, const std::string& tensor) {
    const NamedTensor& found = file.tensors.at(tensor);
    require<FileError>(found.shape.rank() == 2, file.source(), ": tensor '", tensor, "' is ", found.dtype, ' ',
                       found.shape, ", expected rows and columns");
    return found.shape[1];
  }
};

template <>
struct StatePart<optim::Plateau> {
  static std::string kind(const optim::Plateau&) { return "plateau"; }
  static nlohmann::json write(NamedTensors&, const std::string&, const optim::Plateau& plateau) {
    const optim::PlateauState& state = plateau.state();
    return {{"factor", state.factor},
            {"best", state.best ? nlohmann::json(*state.best) : nullptr},
            {"bad", state.bad},
            {"cooling", state.cooling}};
  }
  static void check(const nlohmann::json& record, const StateFile& file, const std::string&, const optim::Plateau&) {
    const std::string& source = file.source();
    for (const char* count : {"bad", "cooling"}) (void)recorded_count(record, count, source);
    require<FileError>(record.at("factor").is_number() && record.at("factor") >= 0 && record.at("factor") <= 1 &&
                           (record.at("best").is_null() || record.at("best").is_number()),
                       source, ": damaged: its plateau has the factor ", record.at("factor").dump(), " and the best ",
                       record.at("best").dump());
  }
  static void read(const NamedTensors&, const nlohmann::json& record, const std::string&, optim::Plateau& plateau) {
    optim::PlateauState state{.factor = record.at("factor").get<double>(),
                              .bad = record.at("bad").get<std::int64_t>(),
                              .cooling = record.at("cooling").get<std::int64_t>()};
    if (!record.at("best").is_null()) state.best = record.at("best").get<double>();
    plateau.set_state(state);
  }
};

template <class T, class D>
struct StatePart<Carried<T, D>> {
  static std::string kind(const Carried<T, D>& part) { return "carried '" + part.name + "'"; }
  static nlohmann::json write(NamedTensors& tensors, const std::string& name, const Carried<T, D>& part) {
    if (!part.tensor.empty()) tensors.add(name, to_host(part.tensor));
    return {{"type", dtype_name<T>()}, {"empty", part.tensor.empty()}};
  }
  static void check(const nlohmann::json& record, const StateFile& file, const std::string& name,
                    const Carried<T, D>& part) {
    require<FileError>(record.at("type") == dtype_name<T>() && record.at("empty").is_boolean(), file.source(),
                       ": what is carried as '", part.name, "' is ", record.at("type").dump(), ", not ",
                       dtype_name<T>());
    if (!record.at("empty").get<bool>()) file.tensors.require_form<T>(name, file.tensors.at(name).shape);
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
