// Modules in a row.
#pragma once

#include <string>
#include <tuple>

#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Feeds each module's output to the next; children are named "0", "1", ... Made with braces, its modules draw their
/// weights in order whatever the compiler; with parentheses in an order of its own.
template <Module First, Module... Rest>
struct Sequential {
  using value_type = typename First::value_type;
  using device_type = typename First::device_type;

  explicit Sequential(First first, Rest... rest) : modules(std::move(first), std::move(rest)...) {}

  /// The last module's output.
  [[nodiscard]] Variable<value_type, device_type> forward(Variable<value_type, device_type> x) {
    std::apply([&](auto&... module) { ((x = module.forward(x)), ...); }, modules);
    return x;
  }

  /// Names the modules "0", "1", ...
  template <class F>
  void visit(F&& f) {
    std::apply(
        [&](auto&... module) {
          int index = 0;
          (f(std::to_string(index++), module), ...);
        },
        modules);
  }

  std::tuple<First, Rest...> modules;
};

}  // namespace lpw::inline LPW_ABI::nn
