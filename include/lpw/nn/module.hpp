// What a module is, and walking over one. `visit` names every member once; everything that handles a whole network
// (stores, optimizers, release, collapse, checkpoints, state dicts) is built on the functions below.
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <set>
#include <string>

#include <lpw/nn/forms/dense_weight.hpp>

namespace lpw::inline LPW_ABI::nn {

namespace detail {
struct AnyVisitor {
  template <class X>
  void operator()(const std::string&, X&) const {}
};
template <class X>
inline constexpr bool is_parameter = false;
template <class W, class D>
inline constexpr bool is_parameter<Parameter<W, D>> = true;
template <class X>
inline constexpr bool is_dense_weight = false;
template <class W, class D>
inline constexpr bool is_dense_weight<DenseWeight<W, D>> = true;
template <class X>
inline constexpr bool is_buffer = false;
template <class W, class D>
inline constexpr bool is_buffer<Buffer<W, D>> = true;
}  // namespace detail

/// A struct whose visit(f) calls f(name, member) once for each of its parameters, buffers and child modules. It states
/// the element type it computes in and its device.
template <class M>
concept Visitable = requires(M& module, detail::AnyVisitor f) {
  typename M::value_type;
  typename M::device_type;
  module.visit(f);
};

/// A Visitable with forward(x): activations [K, B, ...] in, activations or logits out, recorded on the tape of x.
template <class M>
concept Module = Visitable<M> &&
    requires(M& module, const Variable<typename M::value_type, typename M::device_type>& x) {
  { module.forward(x) } -> std::same_as<Variable<typename M::value_type, typename M::device_type>>;
};

namespace detail {

/// Ends the compilation with one line where a function that needs a module is given something else. It is an overload
/// of its own beside the constrained ones, since a compiler's account of unsatisfied constraints fills a screen:
/// `template <NoModule M> auto f(M&, auto&&...) { return not_a_module<M>(); }`, or a constructor that delegates to
/// `not_a_module<M>().template as<Class>()`, with a guide to it.
template <class M>
struct NotAModule {
  static_assert(Visitable<std::remove_const_t<M>>,
                "lpw: a module states value_type and device_type, and its visit(f) calls f(name, member) for each of "
                "its parameters, buffers "
                "and modules");
  static_assert(!Visitable<std::remove_const_t<M>> || !std::is_const_v<M>,
                "lpw: the network is const, and its visit(f) is not");
  static_assert(!Visitable<M> || Module<M>,
                "lpw: the module has visit(f), but no forward(x) that takes and returns lpw::Variable<value_type, "
                "device_type>");
  using value_type = float;
  using device_type = Cpu;
};
template <class M>
constexpr bool require_module() {
  [[maybe_unused]] const NotAModule<M> says_so{};
  return true;
}

template <class M>
concept NoModule = !Visitable<M>;
template <class M>
concept NoForward = !Module<M>;

/// What stands for any value, so that nothing else is said where a function's result is used.
struct NoValue {
  template <class T>
  operator T() const;
  template <class T>
  T as() const;
};
/// The body of such an overload; its return type is deduced, so that the line comes before what follows from it.
template <class M>
NoValue not_a_module() {
  require_module<M>();
  return {};
}

/// Ends the compilation where visit(f) names something that no walk over the network would see.
template <class Member>
constexpr void require_member() {
  static_assert(Visitable<Member> || is_parameter<Member> || is_dense_weight<Member> || is_buffer<Member>,
                "lpw: visit(f) names a member that is neither a parameter, nor a buffer, nor a module with value_type, "
                "device_type and "
                "visit(f)");
}

}  // namespace detail

/// Type of a module's parameters.
template <Visitable M>
using WeightOf = Accumulate<typename M::value_type>;

/// Calls f(name, module) for the module itself (name "") and all modules below it, parents first. Names are joined by
/// dots.
template <Visitable M, class F>
void for_each_module(M& module, F&& f, const std::string& name = {}) {
  f(name, module);
  module.visit([&](const std::string& child_name, auto& child) {
    if constexpr (Visitable<std::remove_reference_t<decltype(child)>>)
      for_each_module(child, f, name.empty() ? child_name : name + '.' + child_name);
  });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto for_each_module(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// What is called for each parameter, or buffer, of a network: all of them are of its weights' type. Not a template
/// parameter, so that the walk over a network is compiled once, whatever is done on the way.
template <Visitable M>
using ParameterFunction = std::function<void(const std::string&, Parameter<WeightOf<M>, typename M::device_type>&)>;
/// As ParameterFunction, for buffers.
template <Visitable M>
using BufferFunction = std::function<void(const std::string&, Buffer<WeightOf<M>, typename M::device_type>&)>;

/// Calls f(name, parameter) for every parameter, in the order of the visits, and after each for its deviations.
template <Visitable M>
void for_each_parameter(M& module, const ParameterFunction<M>& f, const std::string& prefix = {}) {
  module.visit([&](const std::string& name, auto& member) {
    using Member = std::remove_reference_t<decltype(member)>;
    detail::require_member<Member>();
    if constexpr (Visitable<Member>) for_each_parameter(member, f, prefix + name + '.');
    if constexpr (detail::is_dense_weight<Member>) member.visit(prefix + name, f);
    if constexpr (detail::is_parameter<Member>) member.visit(prefix + name, f);
  });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto for_each_parameter(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Calls f(name, weight) for every dense weight.
template <Visitable M, class F>
void for_each_dense_weight(M& module, F&& f, const std::string& prefix = {}) {
  module.visit([&](const std::string& name, auto& member) {
    using Member = std::remove_reference_t<decltype(member)>;
    if constexpr (Visitable<Member>) for_each_dense_weight(member, f, prefix + name + '.');
    if constexpr (detail::is_dense_weight<Member>) f(prefix + name, member);
  });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto for_each_dense_weight(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Whether a weight of the network is made of templates.
template <Visitable M>
[[nodiscard]] bool has_templates(M& module) {
  bool found = false;
  for_each_dense_weight(module, [&](const std::string&, auto& weight) { found = found || !weight.has_base(); });
  return found;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto has_templates(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// The ids of what dense weights are made of, whatever groups it was given besides.
struct FormIds {
  std::set<const void*> factors, coefficients;  // rank-1 factors; coefficients of templates
};
template <Visitable M>
[[nodiscard]] FormIds form_ids(M& module) {
  FormIds ids;
  for_each_dense_weight(module, [&](const std::string&, auto& weight) {
    if (auto* factors = weight.rank_one()) ids.factors.insert({factors->output.id(), factors->input.id()});
    if (auto* made = weight.templates()) ids.coefficients.insert(made->coefficients.id());
  });
  return ids;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto form_ids(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Gives all dense weights that take them rank-1 factors of ones, which change nothing.
template <Visitable M>
void attach_rank_one(M& module) {
  std::set<const void*> seen;  // a weight that layers share gets them once
  for_each_dense_weight(module, [&](const std::string&, auto& weight) {
    if (!weight.takes_factors() || !seen.insert(weight.id()).second) return;
    weight.attach(RankOne<WeightOf<M>, typename M::device_type>(weight.shape()));
  });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto attach_rank_one(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Calls f(name, buffer) for every buffer.
template <Visitable M>
void for_each_buffer(M& module, const BufferFunction<M>& f, const std::string& prefix = {}) {
  module.visit([&](const std::string& name, auto& member) {
    using Member = std::remove_reference_t<decltype(member)>;
    detail::require_member<Member>();
    if constexpr (Visitable<Member>) for_each_buffer(member, f, prefix + name + '.');
    if constexpr (detail::is_buffer<Member>) f(prefix + name, member);
  });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto for_each_buffer(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Says of all running statistics of a network whether they belong to other weights than its present ones; evaluation
/// throws while they do.
template <Visitable M>
void set_statistics_stale(M& network, bool stale) {
  for_each_buffer(network, [&](const std::string&, auto& buffer) { buffer.set_stale(stale); });
}
/// For what is no module: says so.
template <detail::NoModule M>
auto set_statistics_stale(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Whether any running statistics belong to other weights.
template <Visitable M>
[[nodiscard]] bool statistics_stale(M& network) {
  bool stale = false;
  for_each_buffer(network, [&](const std::string&, auto& buffer) { stale = stale || buffer.stale(); });
  return stale;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto statistics_stale(M&, auto&&...) {
  return detail::not_a_module<M>();
}

namespace detail {

/// Gives a handle a copy of its own; handles of one thing get one copy, and a handle of such a copy stays as it is.
template <class Handle>
void detach_once(Handle& handle, std::map<const void*, Handle>& copies) {
  const void* id = handle.id();
  if (const auto known = copies.find(id); known != copies.end()) {
    handle = known->second;
    return;
  }
  handle.detach();
  copies.emplace(id, handle);
  copies.emplace(handle.id(), handle);
}

}  // namespace detail

/// A copy of a network with weights of its own, and forms of theirs; weights shared between its modules stay shared.
/// (Copying a module copies handles.)
template <Visitable M>
[[nodiscard]] M clone_module(const M& module) {
  M copy = module;
  using Weight = Parameter<WeightOf<M>, typename M::device_type>;
  std::map<const void*, Weight> parameters;
  std::map<const void*, Buffer<WeightOf<M>, typename M::device_type>> buffers;
  // Dense weights themselves first: one that is made of templates is no parameter, and its form is to be copied too.
  for_each_dense_weight(copy,
                        [&](const std::string&, auto& weight) { detail::detach_once<Weight>(weight, parameters); });
  for_each_parameter(copy, [&](const std::string&, auto& parameter) { detail::detach_once(parameter, parameters); });
  for_each_buffer(copy, [&](const std::string&, auto& buffer) { detail::detach_once(buffer, buffers); });
  return copy;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto clone_module(const M&) {
  return detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::nn
