// The state of a loop of one's own, in a file of checkpoint.hpp's: weights, running statistics and their staleness,
// what was released, optimizers, averages, the place in the data, carried tensors, and the loop's own JSON. One call
// writes it and one reads it; what they are given must be the same things, so that nothing is forgotten in one
// of the two.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/io/checkpoint.hpp>
#include <lpw/io/finite.hpp>
#include <lpw/io/flat_pair.hpp>
#include <lpw/io/network_form.hpp>
#include <lpw/io/state_parts.hpp>
#include <lpw/late_phase/collapse.hpp>

namespace lpw::inline LPW_ABI::io {

namespace detail {

/// How a loop's state says what it is.
inline constexpr const char* loop_state = "lpw loop state 1";

/// Names for the parts of a state: their kinds, with a number from the second of a kind on.
class PartNames {
 public:
  [[nodiscard]] std::string next(const std::string& kind) {
    const int number = ++counts_[kind];
    return number == 1 ? kind : to_text(kind, ' ', number);
  }

 private:
  std::map<std::string, int> counts_;
};

/// Throws Error for a part that should follow the network's stores `flat`, and does not, by its name.
template <class Part, class Flat>
void require_follows(const char* caller, const std::string& name, const Part& part, const Flat& flat) {
  if constexpr (Follower<Part, Flat>)
    require(part.follows(flat), caller, ": the part '", name,
            "' was made for another network, or before this one was moved to other stores; make it anew for this one, "
            "or give it to the release or collapse that moves it");
}

/// Those of a call's parts that follow a release.
template <class Flat, class... Parts>
class StateFollowers {
 public:
  explicit StateFollowers(Parts&... parts) : parts_(parts...) {}
  [[nodiscard]] bool follows(const Flat& flat) const {
    return std::apply([&](const auto&... part) { return (part_follows(part, flat) && ...); }, parts_);
  }
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    const auto move = [&](auto& part) {
      if constexpr (Follower<std::remove_reference_t<decltype(part)>, Flat>) part.rearrange(from, to);
    };
    std::apply([&](auto&... part) { (move(part), ...); }, parts_);
  }

 private:
  template <class Part>
  [[nodiscard]] static bool part_follows(const Part& part, const Flat& flat) {
    if constexpr (Follower<Part, Flat>) {
      return part.follows(flat);
    } else {
      return true;
    }
  }
  std::tuple<Parts&...> parts_;
};

/// Throws FileError unless the file holds the parts that the call names, in their order.
inline void require_same_parts(const nlohmann::json& stored, const std::vector<std::string>& present,
                               const std::string& source) {
  const auto names = stored.at("names").get<std::vector<std::string>>();
  for (const std::string& name : names)
    require<FileError>(std::find(present.begin(), present.end(), name) != present.end(), source, ": holds the state '",
                       name, "', which this call leaves out; give load_state what save_state was given");
  for (const std::string& name : present)
    require<FileError>(std::find(names.begin(), names.end(), name) != names.end(), source, ": has no state '", name,
                       "', which this call asks for; give save_state all that load_state is given");
}

/// The header of a file that holds a loop's state.
[[nodiscard]] inline const nlohmann::json& loop_state_of(const Checkpoint& checkpoint, const std::string& source) {
  const auto& meta = checkpoint.meta;
  require<FileError>(!(meta.is_object() && meta.contains("progress")), source,
                     ": is a trainer's checkpoint, which its program resumes; it is not of save_state");
  require<FileError>(meta.is_object() && meta.value("kind", nlohmann::json()) == loop_state, source,
                     ": is a checkpoint, but not of save_state, or of another version's");
  return meta;
}

/// A file's tensors, and the stores that a network of a recorded form has, whose weights they must be, and gradients
/// where there are any. Throws FileError where they are others.
template <nn::Visitable M>
[[nodiscard]] StateFile state_file(const NamedTensors& tensors, const NetworkForm& form, M& network,
                                   bool has_gradients) {
  std::int64_t statistics = 0;
  nn::for_each_buffer(network, [&](const std::string&, const auto& buffer) { statistics += buffer.shape().size(); });
  StateFile file{tensors, {1, form.columns(false)}, {form.members, form.columns(true)}, {form.members, statistics}};
  require<FileError>(form.members >= 1, file.source(), ": damaged: it says 0 members");
  require_pair<nn::WeightOf<M>>(tensors, "weights", file.base, file.late);
  if (has_gradients) require_pair<nn::WeightOf<M>>(tensors, "gradients", file.base, file.late);
  return file;
}

/// Throws FileError unless a network can take what a file records of the form, as it is or by a release, OptionError
/// where that cannot be.
template <nn::Visitable M>
void require_takes(const NetworkForm& form, M& network, const std::string& source) {
  require_fits(form, network, source);
  if (form.released && !lpw::detail::is_released(network)) require_releasable(network, form.selectors());
}

/// The running statistics [K, Q] of a network that they fit. Throws FileError for a variance below zero.
template <nn::Visitable M>
[[nodiscard]] Tensor<nn::WeightOf<M>, Cpu> read_buffers(const StateFile& file, M& network) {
  std::int64_t offset = 0;
  auto buffers = file.tensors.get<nn::WeightOf<M>>("buffers", file.buffers);
  nn::for_each_buffer(network, [&](const std::string& name, const auto& buffer) {
    require_variance(name, buffers.columns(offset, buffer.shape()), file.source());
    offset += buffer.shape().size();
  });
  return buffers;
}

/// Throws NonFinite, with the place, for a number of a loop's JSON that no file holds.
inline void require_finite_numbers(const nlohmann::json& own, const std::string& source, const std::string& at = {},
                                   int depth = 0) {
  require<NonFinite>(!own.is_number_float() || is_finite(own.get<double>()), "the loop's JSON has ",
                     own.is_number_float() ? own.get<double>() : 0., " at '", at,
                     "', which a file cannot hold; keep it as a text, or in io::carried; ", source, " is as it was");
  if (own.is_structured() && depth < max_header_depth)  // deeper is refused as a whole
    for (const auto& [name, inner] : own.items()) require_finite_numbers(inner, source, at + '/' + name, depth + 1);
}

/// Whether of a call's parts only the last is JSON, or none.
template <class... Parts>
[[nodiscard]] constexpr bool json_is_last() {
  const bool json[] = {is_json<Parts>..., false};
  return std::count(json, json + sizeof...(Parts), true) == (sizeof...(Parts) > 0 && json[sizeof...(Parts) - 1]);
}

/// Which running statistics belong to other weights.
template <nn::Visitable M>
[[nodiscard]] std::vector<std::string> stale_buffers(M& network) {
  std::vector<std::string> stale;
  nn::for_each_buffer(network, [&](const std::string& name, const auto& buffer) {
    if (buffer.stale()) stale.push_back(name);
  });
  return stale;
}

}  // namespace detail

/// Writes all that a loop of one's own is: the network as it is, released or not, with gradients that wait for a step,
/// and whatever else is given of optimizers, averages, BestWeights, a Plateau, a data::Place, carried(name, tensor),
/// and, last, the loop's own JSON. Whole or not at all: after a kill in here the file of before is there. Throws
/// NonFinite, with the file of before intact, where a weight, running statistic or state, or a number of the JSON, is
/// NaN or infinite, FileError where the file cannot be written, which JSON nested more than some 60 deep is a reason
/// for; Error where other processes hold some of the members.
///
///     io::save_state(path, network, optimizer, average, place, nlohmann::json{{"best", best}});
///     const auto json = io::load_state(path, network, optimizer, average, place);
template <nn::Visitable M, class... Parts>
void save_state(const std::filesystem::path& path, M& network, Parts&&... parts) {
  static_assert(detail::json_is_last<Parts...>(),
                "lpw: save_state takes one nlohmann::json of the loop's own, as its last argument");
  const auto flat = nn::flatten(network);
  nn::require_all_members(flat->share, "save_state");
  nn::require_finite(network);
  Checkpoint checkpoint{nullptr, NamedTensors(path.string())};
  detail::PartNames names;
  nlohmann::json own, records = nlohmann::json::object(), order = nlohmann::json::array();
  add_pair(checkpoint.tensors, "weights", flat->value);
  const bool has_gradients = any_of(flat->gradient);  // of minibatches that no step has taken yet
  if (has_gradients) add_pair(checkpoint.tensors, "gradients", flat->gradient);
  checkpoint.tensors.add("buffers", to_host(flat->buffers));
  [[maybe_unused]] const auto write = [&](auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (detail::is_json<Part>) {
      detail::require_finite_numbers(part, path.string());
      own = part;
    } else {
      using Access = detail::PartOf<Part>;
      const std::string name = names.next(Access::kind(part));
      detail::require_follows("save_state", name, part, *flat);
      records[name] = Access::write(checkpoint.tensors, name, part);
      order.push_back(name);
    }
  };
  (write(parts), ...);
  for (const NamedTensor& tensor : checkpoint.tensors) try {
      require_finite(tensor, path.string());
    } catch (const FileError&) {
      fail<NonFinite>("'", tensor.name, "' holds an infinite number or NaN: training diverged; ", path.string(),
                      " is as it was");
    }
  checkpoint.meta = {{"kind", detail::loop_state},
                     {"network", form_of(network)},
                     {"stale", detail::stale_buffers(network)},
                     {"gradients", has_gradients},
                     {"names", order},
                     {"parts", records},
                     {"own", own}};
  save_checkpoint(path, checkpoint);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto save_state(const std::filesystem::path&, M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// Reads such a file into a network, optimizers and so on that are made as they were at the start of the loop, and
/// returns the loop's JSON, null where it gave none. A network that had been released is released first, with all that
/// follows it, and one whose templates had been folded is collapsed before; training then goes on to the same bits,
/// from the gradients that no step had taken. A network with the same members is taken, too. Throws FileError for a
/// file that is missing, damaged, truncated, or of something else, and by its name for what does not fit: a parameter,
/// its shape, an optimizer of another kind, a part that was saved and is not asked for, or the other way round; Error,
/// by its name, too, where an optimizer or average is another network's. Nothing is changed then.
template <nn::Visitable M, class... Parts>
nlohmann::json load_state(const std::filesystem::path& path, M& network, Parts&&... parts) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  static_assert(!(detail::is_json<Parts> || ...), "lpw: load_state returns the loop's JSON; it takes none");
  nn::require_all_members(nn::member_share(network), "load_state");
  detail::StateFollowers<nn::FlatWeights<W, D>, std::remove_reference_t<Parts>...> followers(parts...);
  detail::PartNames names;
  const std::vector<std::string> present{names.next(detail::PartOf<Parts>::kind(parts))...};
  [[maybe_unused]] std::size_t next = 0;
  (detail::require_follows("load_state", present[next++], parts, *nn::flatten(network)), ...);
  const Checkpoint checkpoint = load_checkpoint(path);
  const std::string source = path.string();
  const auto& meta = detail::loop_state_of(checkpoint, source);
  try {
    (void)detail::recorded_count(meta.at("network"), "members", source);
    const auto form = meta.at("network").get<NetworkForm>();
    const auto stale = meta.at("stale").get<std::vector<std::string>>();
    const auto& records = meta.at("parts");
    const bool folds = templates_were_folded(form, network);
    if (folds) {
      M plain = collapsed(network, Collapse::parameters);
      detail::require_takes(form, plain, source);
    } else {
      detail::require_takes(form, network, source);
    }
    detail::require_same_parts(meta, present, source);
    const bool has_gradients = meta.value("gradients", false);
    const auto file = detail::state_file(checkpoint.tensors, form, network, has_gradients);
    next = 0;
    [[maybe_unused]] const auto check = [&](auto& part) {
      const std::string& name = present[next++];
      detail::PartOf<decltype(part)>::check(records.at(name), file, name, part);
    };
    (check(parts), ...);
    for (const NamedTensor& tensor : checkpoint.tensors) require_finite(tensor, source);
    const auto buffers = detail::read_buffers(file, network);

    if (folds) collapse(network, followers, Collapse::parameters);
    if (form.released && !lpw::detail::is_released(network))
      release(network, followers, {.members = form.members, .late = form.selectors()});
    auto& flat = *nn::flatten(network);
    get_pair(checkpoint.tensors, "weights", flat.value);
    if (has_gradients)
      get_pair(checkpoint.tensors, "gradients", flat.gradient);
    else  // what was accumulated is of other weights
      fill(flat.gradient.base, W(0)), fill(flat.gradient.late, W(0));
    copy(to_device<D>(buffers), flat.buffers);
    nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
      buffer.set_stale(std::find(stale.begin(), stale.end(), name) != stale.end());
    });
    next = 0;
    [[maybe_unused]] const auto read = [&](auto& part) {
      const std::string& name = present[next++];
      detail::PartOf<decltype(part)>::read(checkpoint.tensors, records.at(name), name, part);
    };
    (read(parts), ...);
    return meta.at("own");
  } catch (const nlohmann::json::exception&) {
    fail<FileError>(source, ": damaged: its header is not one that save_state writes");
  }
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto load_state(const std::filesystem::path&, M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::io
