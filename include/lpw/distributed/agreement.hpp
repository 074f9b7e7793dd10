// What processes must have in common before they train together, and what one tells the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// The text that process 0 has. All call it together.
[[nodiscard]] inline std::string broadcast_text(AnyCommunicator& processes, std::string text) {
  if (!processes.several()) return text;
  std::uint64_t size = text.size();
  processes.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  text.resize(static_cast<std::size_t>(size));
  processes.broadcast(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

/// The texts of all processes, in the order of their ranks. All call it together.
[[nodiscard]] inline std::vector<std::string> gather_texts(AnyCommunicator& processes, const std::string& own) {
  std::vector<std::uint64_t> sizes(to_size(processes.size()));
  const std::uint64_t size = own.size();
  processes.gather(std::as_bytes(std::span(&size, 1)), std::as_writable_bytes(std::span(sizes)));
  std::uint64_t together = 0;
  for (const std::uint64_t each : sizes) together += each;
  std::string all(static_cast<std::size_t>(together), '\0');
  processes.gather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  std::vector<std::string> texts;
  std::size_t first = 0;
  for (const std::uint64_t each : sizes) {
    texts.push_back(all.substr(first, static_cast<std::size_t>(each)));
    first += static_cast<std::size_t>(each);
  }
  return texts;
}

/// What processes compare, by its names.
using Named = std::map<std::string, std::string>;

namespace detail {

/// A name and a value a line.
[[nodiscard]] inline Named named_lines(std::string_view text) {
  Named result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin), tab = text.find('\t', begin);
    result.emplace(text.substr(begin, tab - begin), text.substr(tab + 1, end - tab - 1));
    begin = end + 1;
  }
  return result;
}

}  // namespace detail

/// Throws Error, on all processes, for the first of some things that is not the same on all of them. Names and values
/// hold no tabs and no ends of lines; what a process does not have is another value than any. All call it together.
inline void require_same(AnyCommunicator& processes, const Named& own) {
  if (!processes.several()) return;
  std::string lines;
  for (const auto& [name, value] : own) lines += name + '\t' + value + '\n';
  const auto all = gather_texts(processes, lines);
  const Named first = detail::named_lines(all.front());
  const auto shown = [](const Named& from, const std::string& name) {
    const auto found = from.find(name);
    return found == from.end()     ? std::string("not given")
           : found->second.empty() ? std::string("empty")
                                   : found->second;
  };
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const Named other = detail::named_lines(all[rank]);
    Named names = first;
    names.insert(other.begin(), other.end());
    for (const auto& [name, value] : names)
      require(shown(first, name) == shown(other, name), name, " is ", shown(first, name), " in process 0 and ",
              shown(other, name), " in process ", rank, "; all processes must be started alike");
  }
}

}  // namespace lpw::inline LPW_ABI::distributed
