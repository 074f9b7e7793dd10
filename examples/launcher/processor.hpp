// The levels of x86-64 (System V ABI, "Micro-Architecture Levels"), and which of them a processor has.
#pragma once

namespace launcher {

/// The lowest and the highest level for which programs are built: x86-64-v2 (processors from 2009 on), x86-64-v3 (2013)
/// and x86-64-v4 (2017).
inline constexpr int lowest_level = 2, highest_level = 4;

/// The highest level whose instructions the processor has, and whose registers the operating system saves: 1 to 4.
[[nodiscard]] int processor_level();

}  // namespace launcher
