// Modules in a row.
#pragma once

#include <string>
#include <tuple>

#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Feeds each module's output to the next; children are named "0", "1", ... Made with braces, its modules draw their
/// weights in order whatever the compiler; with parentheses in an order of its own.
template <class First, class... Rest>
struct Sequential {
  static_assert(detail::require_module<First>() && (detail::require_module<Rest>() && ...));
  /// Whose value_type and device_type are the whole's.
  using Types = std::conditional_t<Visitable<First>, First, detail::NotAModule<First>>;
  using value_type = typename Types::value_type;
  using device_type = typename Types::device_type;

  /// Of modules that follow one another.
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

  std::tuple<First, Rest...> modules;  // in their order
};

}  // namespace lpw::inline LPW_ABI::nn
