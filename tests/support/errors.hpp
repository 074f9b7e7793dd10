// Tests of messages, which read the same in Catch2 2 and 3.
#pragma once

#include <string>
#include <string_view>

namespace lpw::test {

[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The message of the E that `call` throws; "" if it returns. Any other exception passes through and fails the test.
template <class E, class Call>
[[nodiscard]] std::string message_of(Call&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

}  // namespace lpw::test
