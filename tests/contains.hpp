// A test of messages that reads the same in Catch2 2 and 3.
#pragma once

#include <string_view>

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
