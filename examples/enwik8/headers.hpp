// The text of lpw's own headers, compiled into the program: a text that is there wherever the program is (see
// embed_headers.cmake).
#pragma once

#include <span>
#include <string_view>

namespace enwik8 {

/// Each header's content, in the order of their paths.
[[nodiscard]] std::span<const std::string_view> library_headers();

}  // namespace enwik8
