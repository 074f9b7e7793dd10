// What the control groups of the process allow it: Linux' cgroups, version 1 and 2, by which containers and service
// managers limit processors and memory. The kernel enforces such limits by throttling and by killing, and neither the
// number of processors nor the machine's memory shows them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// Processors' time per time, and bytes; none: unlimited, or not to be found out.
struct GroupLimits {
  std::optional<double> processors;   // seconds of processors in a second
  std::optional<std::size_t> memory;  // in bytes
};

namespace detail {

[[nodiscard]] inline std::vector<std::string> words_of(const std::string& line, char separator) {
  std::vector<std::string> words;
  std::istringstream in(line);
  for (std::string word; std::getline(in, word, separator);) words.push_back(word);
  return words;
}

[[nodiscard]] inline std::vector<std::string> lines_of(const std::string& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The number that a word is; none for anything else, as "max".
[[nodiscard]] inline std::optional<std::uint64_t> whole_number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

/// A path of mountinfo, where spaces and backslashes are written as \040 and \134.
[[nodiscard]] inline std::string unescaped(const std::string& path) {
  std::string result;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const bool escape = path[i] == '\\' && i + 3 < path.size();
    result +=
        escape ? static_cast<char>((path[i + 1] - '0') * 64 + (path[i + 2] - '0') * 8 + (path[i + 3] - '0')) : path[i];
    if (escape) i += 3;
  }
  return result;
}

/// A mounted hierarchy of groups: `root`, a path in it, is seen at the folder `point`. Controllers as in
/// "rw,cpu,cpuacct"; version 2 has all in one.
struct GroupMount {
  bool unified = false;
  std::string root, point;
  std::vector<std::string> controllers;

  [[nodiscard]] bool has(std::string_view controller) const {
    return unified || std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
  }
};

/// The mounts of a mountinfo file: "36 35 98:0 ROOT POINT OPTIONS [TAG]... - TYPE SOURCE CONTROLLERS".
[[nodiscard]] inline std::vector<GroupMount> group_mounts(const std::string& file) {
  std::vector<GroupMount> mounts;
  for (const std::string& line : lines_of(file)) {
    const auto words = words_of(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 2 || (dash[1] != "cgroup" && dash[1] != "cgroup2")) continue;
    mounts.push_back({dash[1] == "cgroup2", unescaped(words[3]), unescaped(words[4]),
                      words.end() - dash > 3 ? words_of(dash[3], ',') : std::vector<std::string>()});
  }
  return mounts;
}

/// The folders of a group's limits in a mount: its own and those above, up to the mount's. A path from outside of the
/// mount, as processes of other namespaces see it, has that alone.
[[nodiscard]] inline std::vector<std::string> group_folders(const GroupMount& mount, const std::string& path) {
  const std::string root = mount.root == "/" ? "" : mount.root;
  std::string below = path.starts_with(root) ? path.substr(root.size()) : "";
  if (!below.starts_with("/") || below.find("/..") != std::string::npos) below.clear();
  std::vector<std::string> folders;
  for (; below.size() > 1; below.resize(below.rfind('/'))) folders.push_back(mount.point + below);
  folders.push_back(mount.point);
  return folders;
}

/// The first line of a file in words.
[[nodiscard]] inline std::vector<std::string> first_words(const std::string& file) {
  const auto lines = lines_of(file);
  return lines.empty() ? std::vector<std::string>() : words_of(lines.front(), ' ');
}

template <class V>
void lower(std::optional<V>& limit, const std::optional<V>& value) {
  if (value && (!limit || *value < *limit)) limit = value;
}

/// Quota over period, in whatever units.
[[nodiscard]] inline std::optional<double> processors(const std::vector<std::string>& quota,
                                                      const std::vector<std::string>& period) {
  if (quota.empty() || period.empty()) return std::nullopt;
  const auto time = whole_number(quota.front()), of = whole_number(period.back());
  if (!time || !of || *time == 0 || *of == 0) return std::nullopt;
  return static_cast<double>(*time) / static_cast<double>(*of);
}

[[nodiscard]] inline std::optional<std::size_t> bytes(const std::vector<std::string>& words) {
  const auto value = words.empty() ? std::nullopt : whole_number(words.front());
  if (!value) return std::nullopt;
  return static_cast<std::size_t>(std::min<std::uint64_t>(*value, std::numeric_limits<std::size_t>::max()));
}

inline void lower(GroupLimits& limits, const GroupMount& mount, const std::string& folder) {
  if (mount.unified) {
    const auto quota = first_words(folder + "/cpu.max");  // "QUOTA PERIOD" or "max PERIOD"
    lower(limits.processors, processors(quota, quota));
    lower(limits.memory, bytes(first_words(folder + "/memory.max")));
    return;
  }
  if (mount.has("cpu"))
    lower(limits.processors,
          processors(first_words(folder + "/cpu.cfs_quota_us"), first_words(folder + "/cpu.cfs_period_us")));
  if (mount.has("memory")) lower(limits.memory, bytes(first_words(folder + "/memory.limit_in_bytes")));
}

}  // namespace detail

/// The least of the limits of the process's groups and of all that these lie in. `root` is put before every path, those
/// in the files included: tests have a tree of their own.
[[nodiscard]] inline GroupLimits group_limits(const std::string& root = "") {
  GroupLimits limits;
  const auto mounts = detail::group_mounts(root + "/proc/self/mountinfo");
  for (const std::string& line :
       detail::lines_of(root + "/proc/self/cgroup")) {  // "ID:CONTROLLERS:PATH"; version 2: "0::PATH"
    const auto colon = line.find(':'), second = line.find(':', colon + 1);
    if (colon == std::string::npos || second == std::string::npos) continue;
    const auto controllers = detail::words_of(line.substr(colon + 1, second - colon - 1), ',');
    for (const auto& mount : mounts) {
      const bool same = mount.unified ? controllers.empty()
                                      : std::any_of(controllers.begin(), controllers.end(),
                                                    [&](const auto& name) { return mount.has(name); });
      if (!same) continue;
      for (const std::string& folder : detail::group_folders(mount, line.substr(second + 1)))
        detail::lower(limits, mount, root + folder);
    }
  }
  return limits;
}

/// Memory of the process that is backed by no file, in bytes: what a group counts and cannot take back.
[[nodiscard]] inline std::size_t anonymous_memory(std::size_t page, const std::string& root = "") {
  const auto words = detail::first_words(root + "/proc/self/statm");  // pages: SIZE RESIDENT SHARED ...
  if (words.size() < 3) return 0;
  const auto resident = detail::whole_number(words[1]), shared = detail::whole_number(words[2]);
  return resident && shared && *resident > *shared ? static_cast<std::size_t>(*resident - *shared) * page : 0;
}

/// Bytes that tensors may take of `physical` memory: where groups limit it, what is not in tensors and yet to come is
/// to have 64 MB of the limit, or a quarter if that is less. The kernel kills whoever passes a limit, without a word.
[[nodiscard]] inline std::size_t usable_memory(std::size_t physical, const GroupLimits& limits) {
  if (!limits.memory || *limits.memory >= physical) return physical;
  return *limits.memory - std::min(*limits.memory / 4, std::size_t{64} << 20);
}

}  // namespace lpw::inline LPW_ABI
