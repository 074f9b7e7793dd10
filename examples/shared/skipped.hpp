// What is said of images that were left out (--damaged skip).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include <lpw/train/printable.hpp>

namespace example {

/// Names them on the standard error: the first ten, and how many there are.
inline void report_skipped(const std::vector<std::string>& skipped) {
  if (skipped.empty()) return;
  for (std::size_t i = 0; i < std::min<std::size_t>(skipped.size(), 10); ++i)
    std::fprintf(stderr, "warning: skipped: %s\n", lpw::train::one_line(skipped[i]).c_str());
  std::fprintf(stderr, "warning: %zu images were skipped (--damaged skip)\n", skipped.size());
}

}  // namespace example
