// Operations with K rows of a parameter against K runs with one row each: one table of operations for both devices.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/conv1d.hpp>
#include <lpw/autograd/embedding.hpp>
#include <lpw/autograd/group_norm.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/lstm.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

/// An operation of x and parameters, both named by the shapes that one member has of them.
template <class T, class D>
struct MemberOperation {
  using X = Variable<T, D>;
  using Parameters = std::vector<Variable<Accumulate<T>, D>>;

  std::string name;
  Shape x;
  std::vector<std::pair<std::string, Shape>> parameters;
  // `members` are those whose rows x has: what the operation takes beside x has theirs.
  std::function<X(const X& x, const Parameters& parameters, MemberRange members)> run;
};

inline constexpr std::int64_t table_members = 3;

/// The same tensor on a device; strided rows become strided rows there.
template <class D, class T>
[[nodiscard]] Tensor<T, D> placed(const Tensor<T, Cpu>& host) {
  if (host.contiguous()) return clone(to_device<D>(host));
  auto store = full<T, D>({host.dim(0), host.row_stride()}, T(77));
  auto view = store.columns(0, host.shape().slice(1, host.shape().rank()));
  copy(to_device<D>(clone(host)), view);
  return view;
}

/// Some members' rows of a tensor [K, ...] that is drawn for all.
template <class D, class T>
[[nodiscard]] Tensor<T, D> drawn_rows(const Shape& of_member, std::uint32_t key, MemberRange members) {
  const auto all = random_tensor<T>(of_member.prepend(table_members), key);
  return placed<D>(clone(all.rows(members.first, members.count)));
}

namespace detail {

/// A convolution's passes, by its weight alone, with a residual, with factors, and of an input that is pending.
template <class T, class D>
void add_convolutions(std::vector<MemberOperation<T, D>>& table, std::int64_t channels, std::int64_t kernel,
                      Conv2dOptions options) {
  using Parameters = typename MemberOperation<T, D>::Parameters;
  using X = Variable<T, D>;
  constexpr std::int64_t batch = 2, size = 6, outputs = 16;
  const Shape x{batch, size, size, channels}, weight{outputs, kernel, kernel, channels};
  const std::int64_t out = window_count(size, kernel, options.stride.height, options.padding.height);
  const Shape y{batch, out, out, outputs};
  const std::string name = to_text("conv2d ", kernel, 'x', kernel, " stride ", options.stride, " channels ", channels);
  table.push_back({name, x, {{"weight", weight}}, [=](const X& in, const Parameters& p, MemberRange) {
                     return conv2d(in, p[0], options);
                   }});
  table.push_back({name + " add", x, {{"weight", weight}}, [=](const X& in, const Parameters& p, MemberRange members) {
                     const X residual({drawn_rows<D, T>(y, 91, members)}, in.recording(), -1);
                     return conv2d_add(in, p[0], residual, options);
                   }});
  table.push_back({name + " with factors",
                   x,
                   {{"weight", weight}, {"r", {outputs}}, {"s", {channels}}},
                   [=](const X& in, const Parameters& p, MemberRange) {
                     return conv2d(in, p[0], RankOneFactors<Accumulate<T>, D>{p[1], p[2]}, options);
                   }});
  table.push_back({name + " of a pending input",
                   x,
                   {{"weight", weight}, {"gamma", {channels}}, {"beta", {channels}}},
                   [=](const X& in, const Parameters& p, MemberRange members) {
                     using W = Accumulate<T>;
                     const RunningStatistics<W, D> running{zeros<W, D>({members.count, channels}),
                                                           full<W, D>({members.count, channels}, W(1))};
                     return conv2d(batch_norm(in, p[1], p[2], running, {.relu = true}), p[0], options);
                   }});
}

/// Convolutions with options, of sequences, and transposed ones, with a bias each.
template <class T, class D>
void add_convolutions_with_options(std::vector<MemberOperation<T, D>>& table) {
  using Parameters = typename MemberOperation<T, D>::Parameters;
  using X = Variable<T, D>;
  const auto add = [&](const char* name, const Shape& x, const Shape& weight, std::int64_t outputs, auto operation) {
    table.push_back(
        {name, x, {{"weight", weight}, {"bias", {outputs}}}, [=](const X& in, const Parameters& p, MemberRange) {
           return operation(in, p[0], p[1]);
         }});
  };
  const Shape images{2, 6, 5, 8};
  add("conv2d with options", images, {6, 3, 2, 4}, 6, [](const X& x, const auto& w, const auto& b) {
    return conv2d(x, w, b, {.stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}, .groups = 2});
  });
  add("conv2d depthwise", images, {8, 3, 3, 1}, 8,
      [](const X& x, const auto& w, const auto& b) { return conv2d(x, w, b, {.padding = 1, .groups = 8}); });
  add("conv_transpose2d", images, {8, 3, 3, 2}, 4, [](const X& x, const auto& w, const auto& b) {
    return conv_transpose2d(x, w, b, {.stride = 2, .padding = 1, .output_padding = {1, 0}, .groups = 2});
  });
  const Shape sequences{2, 9, 4};
  add("conv1d", sequences, {6, 3, 4}, 6,
      [](const X& x, const auto& w, const auto& b) { return conv1d(x, w, b, {.stride = 2, .padding = 1}); });
  add("conv_transpose1d", sequences, {4, 3, 6}, 6,
      [](const X& x, const auto& w, const auto& b) { return conv_transpose1d(x, w, b, {.stride = 2}); });
}

template <class T, class D>
void add_layers(std::vector<MemberOperation<T, D>>& table) {
  using Parameters = typename MemberOperation<T, D>::Parameters;
  using X = Variable<T, D>;
  using W = Accumulate<T>;
  const Shape features{6, 20};
  table.push_back(
      {"linear", features, {{"weight", {9, 20}}, {"bias", {9}}}, [](const X& x, const Parameters& p, MemberRange) {
         return linear(x, p[0], p[1]);
       }});
  table.push_back({"linear with factors",
                   features,
                   {{"weight", {9, 20}}, {"r", {9}}, {"s", {20}}, {"bias", {9}}},
                   [](const X& x, const Parameters& p, MemberRange) {
                     const MemberWeight<W, D> weight{p[0], RankOneFactors<W, D>{p[1], p[2]}};
                     return linear(x, weight, std::optional(p[3]));
                   }});
  const auto running = [](MemberRange members) {
    return RunningStatistics<W, D>{zeros<W, D>({members.count, 20}), full<W, D>({members.count, 20}, W(1))};
  };
  table.push_back({"batch_norm",
                   features,
                   {{"gamma", {20}}, {"beta", {20}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     return batch_norm(x, p[0], p[1], running(members));
                   }});
  table.push_back({"batch_norm_add",
                   features,
                   {{"gamma", {20}}, {"beta", {20}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     return batch_norm_add(x, x, p[0], p[1], running(members), {.relu = true});
                   }});
  table.push_back(
      {"layer_norm", features, {{"gamma", {20}}, {"beta", {20}}}, [](const X& x, const Parameters& p, MemberRange) {
         return layer_norm(x, p[0], p[1]);
       }});
  table.push_back({"group_norm",
                   Shape{3, 2, 2, 8},
                   {{"gamma", {8}}, {"beta", {8}}},
                   [](const X& x, const Parameters& p, MemberRange) { return group_norm(x, 2, p[0], p[1]); }});
}

template <class T, class D>
void add_sequences(std::vector<MemberOperation<T, D>>& table) {
  using Parameters = typename MemberOperation<T, D>::Parameters;
  using X = Variable<T, D>;
  using W = Accumulate<T>;
  constexpr std::int64_t steps = 4, batch = 3, inputs = 5, hidden = 8;
  const Shape sequence{steps, batch, inputs};
  const auto places = [](const X& x, MemberRange members) {
    const auto all = random_indices({table_members, steps, batch}, 7);
    return Variable<std::int32_t, D>({to_device<D>(clone(all.rows(members.first, members.count)))}, x.recording(), -1);
  };
  table.push_back(
      {"embedding", sequence, {{"weight", {7, inputs}}}, [=](const X& x, const Parameters& p, MemberRange members) {
         return add(embedding<T>(places(x, members), p[0]), x);
       }});
  table.push_back({"embedding with factors",
                   sequence,
                   {{"weight", {7, inputs}}, {"r", {7}}, {"s", {inputs}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     const MemberWeight<W, D> weight{p[0], RankOneFactors<W, D>{p[1], p[2]}};
                     return add(embedding<T>(places(x, members), weight), x);
                   }});
  const auto states = [](const X& x, MemberRange members) {
    return std::pair(X({drawn_rows<D, T>({batch, hidden}, 92, members)}, x.recording(), -1),
                     Variable<W, D>({drawn_rows<D, W>({batch, hidden}, 93, members)}, x.recording(), -1));
  };
  table.push_back({"lstm",
                   sequence,
                   {{"weight_ih", {4 * hidden, inputs}},
                    {"bias_ih", {4 * hidden}},
                    {"weight_hh", {4 * hidden, hidden}},
                    {"bias_hh", {4 * hidden}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     const auto [h, c] = states(x, members);
                     return lstm(x, h, c, LstmMatrix<W, D>{p[0], p[1]}, LstmMatrix<W, D>{p[2], p[3]}).y;
                   }});
  table.push_back({"lstm with factors",
                   sequence,
                   {{"weight_ih", {4 * hidden, inputs}},
                    {"bias_ih", {4 * hidden}},
                    {"r_ih", {4 * hidden}},
                    {"s_ih", {inputs}},
                    {"weight_hh", {4 * hidden, hidden}},
                    {"bias_hh", {4 * hidden}},
                    {"r_hh", {4 * hidden}},
                    {"s_hh", {hidden}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     const auto [h, c] = states(x, members);
                     using Factors = RankOneFactors<W, D>;
                     return lstm(x, h, c, LstmMatrix<W, D>{p[0], p[1], Factors{p[2], p[3]}},
                                 LstmMatrix<W, D>{p[4], p[5], Factors{p[6], p[7]}})
                         .y;
                   }});
  table.push_back({"gru",
                   sequence,
                   {{"weight_ih", {3 * hidden, inputs}},
                    {"bias_ih", {3 * hidden}},
                    {"weight_hh", {3 * hidden, hidden}},
                    {"bias_hh", {3 * hidden}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     const auto h = states(x, members).first;
                     return gru(x, h, GruMatrix<W, D>{p[0], p[1]}, GruMatrix<W, D>{p[2], p[3]}).y;
                   }});
  table.push_back({"gru with factors",
                   sequence,
                   {{"weight_ih", {3 * hidden, inputs}},
                    {"bias_ih", {3 * hidden}},
                    {"r_ih", {3 * hidden}},
                    {"s_ih", {inputs}},
                    {"weight_hh", {3 * hidden, hidden}},
                    {"bias_hh", {3 * hidden}},
                    {"r_hh", {3 * hidden}},
                    {"s_hh", {hidden}}},
                   [=](const X& x, const Parameters& p, MemberRange members) {
                     const auto h = states(x, members).first;
                     using Factors = RankOneFactors<W, D>;
                     return gru(x, h, GruMatrix<W, D>{p[0], p[1], Factors{p[2], p[3]}},
                                GruMatrix<W, D>{p[4], p[5], Factors{p[6], p[7]}})
                         .y;
                   }});
}

}  // namespace detail

/// Kernel, channels and options of the table's convolutions: by Winograd's algorithm, with a stride too, as products of
/// pixels, and directly.
struct TableConvolution {
  std::int64_t channels, kernel;
  Conv2dOptions options;
};
inline constexpr TableConvolution table_convolutions[] = {{32, 3, {1, 1}}, {32, 3, {2, 1}}, {16, 1, {1, 0}},
                                                          {16, 1, {2, 0}}, {3, 3, {1, 1}},  {5, 5, {2, 2}}};

template <class T, class D>
[[nodiscard]] std::vector<MemberOperation<T, D>> member_operations() {
  std::vector<MemberOperation<T, D>> table;
  for (const auto& [channels, kernel, options] : table_convolutions)
    detail::add_convolutions(table, channels, kernel, options);
  detail::add_convolutions_with_options(table);
  detail::add_layers(table);
  detail::add_sequences(table);
  return table;
}

/// What a pass leaves: y, and the gradients of x and of each parameter.
template <class T>
struct MemberPass {
  Tensor<T, Cpu> y, dx;
  std::vector<Tensor<Accumulate<T>, Cpu>> parameters;
};

/// The pass of some members: `parameters` hold their rows, or one. The gradient of y is drawn for each member.
template <class T, class D>
[[nodiscard]] MemberPass<T> member_pass(const MemberOperation<T, D>& operation, MemberRange members,
                                        const std::vector<Tensor<Accumulate<T>, Cpu>>& parameters) {
  using W = Accumulate<T>;
  Tape tape;
  const auto x = drawn_rows<D, T>(operation.x, 90, members);
  auto dx = zeros<T, D>(x.shape());
  std::vector<Variable<W, D>> variables;
  std::vector<Tensor<W, D>> gradients;
  for (const auto& parameter : parameters) {
    auto gradient = placed<D>(parameter);
    fill(gradient, W(0));
    gradients.push_back(gradient);
    variables.push_back(tape.leaf(placed<D>(parameter), gradient));
  }
  const auto y = operation.run(tape.leaf(x, dx), variables, members);
  const Shape of_member = y.shape().slice(1, y.shape().rank());
  tape.backward(y, drawn_rows<D, T>(of_member, 94, members));
  MemberPass<T> result{to_host(y.value()), to_host(dx), {}};
  for (const auto& gradient : gradients) result.parameters.push_back(clone(to_host(gradient)));
  return result;
}

/// Row k of tensors of one member each.
template <class T>
[[nodiscard]] Tensor<T, Cpu> joined(const std::vector<Tensor<T, Cpu>>& rows) {
  Tensor<T, Cpu> result(rows.front().shape().with(0, static_cast<std::int64_t>(rows.size())));
  for (std::size_t k = 0; k < rows.size(); ++k)
    std::copy_n(rows[k].data(), rows[k].size(), result.row(static_cast<std::int64_t>(k)));
  return result;
}

/// The sum of tensors, in double.
template <class T>
[[nodiscard]] Tensor<double, Cpu> summed(const std::vector<Tensor<T, Cpu>>& rows) {
  auto sum = zeros<double, Cpu>(rows.front().shape());
  for (const auto& row : rows)
    for (std::int64_t i = 0; i < sum.size(); ++i) sum.data()[i] += double(row.data()[i]);
  return sum;
}

/// A pass of K members in which the parameters for which `own` holds have K rows against K passes of one member.
template <class T, class D>
void check_member_rows(const MemberOperation<T, D>& operation, const std::vector<bool>& own, double tolerance) {
  using W = Accumulate<T>;
  std::vector<Tensor<W, Cpu>> together;
  for (std::size_t i = 0; i < own.size(); ++i)
    together.push_back(random_parameter<W>(operation.parameters[i].second.prepend(own[i] ? table_members : 1), own[i],
                                           static_cast<std::uint32_t>(i)));
  const auto found = member_pass(operation, {0, table_members}, together);
  std::vector<MemberPass<T>> alone;
  for (std::int64_t k = 0; k < table_members; ++k) {
    std::vector<Tensor<W, Cpu>> rows;
    for (std::size_t i = 0; i < own.size(); ++i) rows.push_back(clone(together[i].rows(own[i] ? k : 0, 1)));
    alone.push_back(member_pass(operation, {k, 1}, rows));
  }
  const auto all = [&](auto&& part) {
    std::vector<std::decay_t<decltype(part(alone[0]))>> parts;
    for (const auto& pass : alone) parts.push_back(part(pass));
    return parts;
  };
  CHECK(relative_difference(found.y, joined(all([](const auto& pass) { return pass.y; }))) <= tolerance);
  CHECK(relative_difference(found.dx, joined(all([](const auto& pass) { return pass.dx; }))) <= tolerance);
  for (std::size_t i = 0; i < own.size(); ++i) {
    INFO("gradient of " << operation.parameters[i].first);
    const auto expected = all([i](const auto& pass) { return pass.parameters[i]; });
    if (own[i]) {
      CHECK(relative_difference(found.parameters[i], joined(expected)) <= tolerance);
    } else {
      CHECK(relative_difference(found.parameters[i], summed(expected)) <= tolerance);
    }
  }
}

/// Each operation with K rows of each parameter alone, of all, and of none.
template <class T, class D>
void check_table_of_member_rows() {
  // The same products as of one member, which may be added up in another order: roundings of some hundred terms add up
  // as the root of their number; and y, dx and what lies between are rounded to T.
  const double tolerance = 200 * epsilon<Accumulate<T>>() + 4 * epsilon<T>();
  for (const auto& operation : member_operations<T, D>()) {
    const std::size_t count = operation.parameters.size();
    for (std::size_t which = 0; which <= count + 1; ++which) {
      INFO(operation.name << ", K rows of "
                          << (which < count    ? operation.parameters[which].first
                              : which == count ? "all parameters"
                                               : "none"));
      std::vector<bool> own(count, which == count);
      if (which < count) own[which] = true;
      check_member_rows(operation, own, tolerance);
    }
  }
}

}  // namespace lpw::test
