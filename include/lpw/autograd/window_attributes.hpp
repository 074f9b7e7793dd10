// What operations with windows (convolutions, poolings) tell a trace of their options.
#pragma once

#include <array>
#include <span>

#include <lpw/autograd/trace.hpp>
#include <lpw/primitives/window.hpp>

namespace lpw::inline LPW_ABI::detail {

/// A short list of attributes.
class WindowAttributes {
 public:
  /// One attribute where both axes have the same, else one for each.
  void add(const char* both, const char* height, const char* width, PerAxis value) {
    if (value.square()) return add(both, value.height);
    add(height, value.height);
    add(width, value.width);
  }
  void add(const char* name, std::int64_t value) { list_[count_++] = {name, value}; }

  [[nodiscard]] std::span<const Attribute> list() const { return {list_.data(), count_}; }

 private:
  std::array<Attribute, 12> list_{};
  std::size_t count_ = 0;
};

}  // namespace lpw::inline LPW_ABI::detail
