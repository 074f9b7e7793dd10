// The flat stores: all base weights of a network as one row [1, N], all late-phase weights as a matrix [K, P], all
// running statistics as [K, Q]. Parameters view into them, so an optimizer step, an average, release, collapse or a
// checkpoint is one operation on a buffer.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <lpw/autograd/finite.hpp>
#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// One tensor for each store of a network: weights, gradients, momenta and averages all come in this form.
template <class W, class D>
struct FlatPair {
  Tensor<W, D> base;  // [1, N]
  Tensor<W, D> late;  // [K, P]
};

/// Where a parameter lies: columns [offset, offset + size) of the base or the late-phase store.
struct Segment {
  std::string name;                           // the first, where layers share it
  const void* id;                             // the parameter's
  bool late_phase;                            // whether it lies in the late-phase store
  std::int64_t offset, size;                  // in columns
  Group group = Group::none;                  // of the parameter
  std::vector<std::string> other_names = {};  // where layers share it
};

/// The stores of a network, and which weight lies where in them.
template <class W, class D>
struct FlatWeights : Store {
  std::int64_t members = 1;       // K, or the members here where other processes have the rest
  FlatPair<W, D> value;           // the weights
  FlatPair<W, D> gradient;        // of the loss, as far as backward has added it
  Tensor<W, D> buffers;           // [K, Q]
  std::vector<Segment> segments;  // of all parameters, in the order of visit

  /// K: of all processes where there are several.
  [[nodiscard]] std::int64_t all_members() const { return share ? share->members() : members; }
  /// Zeros in the form of the weights.
  [[nodiscard]] FlatPair<W, D> zeros_like() const {
    return {zeros<W, D>(value.base.shape()), zeros<W, D>(value.late.shape())};
  }
};

/// Whether two networks' stores hold the same weights, of as many members, at the same places.
template <class W, class D>
[[nodiscard]] bool same_form(const FlatWeights<W, D>& a, const FlatWeights<W, D>& b) {
  const auto same = [](const Segment& one, const Segment& other) {
    return one.name == other.name && one.late_phase == other.late_phase && one.size == other.size;
  };
  return a.members == b.members &&
         std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(), b.segments.end(), same);
}

namespace detail {

/// Copies a parameter's rows into columns of a store with as many rows, or its one row into all of them.
template <class W, class D>
void copy_rows(const Tensor<W, D>& from, Tensor<W, D> to) {
  if (from.dim(0) == to.dim(0)) return copy(from, to);
  require<ShapeError>(from.dim(0) == 1, "flat weights: cannot turn ", from.dim(0), " member rows into ", to.dim(0));
  for (std::int64_t k = 0; k < to.dim(0); ++k) {
    auto row = to.rows(k, 1);
    copy(from, row);
  }
}

}  // namespace detail

/// Moves all parameters and buffers of a network into new stores: those marked late-phase, and all buffers, with a row
/// per member (a single row is repeated), the others with one. Gradients start at zero. The stores that the parameters
/// leave are retired. With a `share` the members are those that are here.
template <Visitable M>
std::shared_ptr<FlatWeights<WeightOf<M>, typename M::device_type>> lay_out(
    M& module, std::int64_t members, std::shared_ptr<const MemberShare> share = {}) {
  using W = WeightOf<M>;
  using D = typename M::device_type;
  auto flat = std::make_shared<FlatWeights<W, D>>();
  flat->members = members;
  flat->share = std::move(share);
  std::int64_t columns[2] = {0, 0}, buffer_columns = 0;
  std::map<const void*, std::size_t> seen;
  const FormIds ids = form_ids(module);
  for_each_parameter(module, [&](const std::string& name, Parameter<W, D>& parameter) {
    const auto [known, is_new] = seen.emplace(parameter.id(), flat->segments.size());
    if (!is_new) return flat->segments[known->second].other_names.push_back(name);  // it lies in one place
    const std::int64_t size = parameter.shape().size();
    std::int64_t& offset = columns[parameter.late_phase()];
    Group group = parameter.group();
    if (ids.factors.contains(parameter.id())) group = group | Group::rank_one;
    if (ids.coefficients.contains(parameter.id())) group = group | Group::templates;
    flat->segments.push_back({name, parameter.id(), parameter.late_phase(), offset, size, group});
    offset += size;
  });
  for_each_buffer(module, [&](const std::string&, Buffer<W, D>& buffer) { buffer_columns += buffer.shape().size(); });

  flat->value = {Tensor<W, D>({1, columns[0]}), Tensor<W, D>({members, columns[1]})};
  flat->gradient = flat->zeros_like();
  flat->buffers = Tensor<W, D>({members, buffer_columns});
  std::size_t next = 0;
  std::set<const void*> placed;
  for_each_parameter(module, [&](const std::string&, Parameter<W, D>& parameter) {
    if (!placed.insert(parameter.id()).second) return;
    const Segment& segment = flat->segments[next++];
    auto& value = segment.late_phase ? flat->value.late : flat->value.base;
    auto& gradient = segment.late_phase ? flat->gradient.late : flat->gradient.base;
    auto view = value.columns(segment.offset, parameter.shape());
    detail::copy_rows(parameter.value(), view);
    parameter.bind(view, gradient.columns(segment.offset, parameter.shape()), flat);
  });
  std::int64_t offset = 0;
  for_each_buffer(module, [&](const std::string&, Buffer<W, D>& buffer) {
    auto view = flat->buffers.columns(offset, buffer.shape());
    detail::copy_rows(buffer.value(), view);
    offset += buffer.shape().size();
    buffer.bind(view);
  });
  return flat;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto lay_out(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Number of members of a network: 1 before release and after collapse. Where other processes hold some, of those here.
template <Visitable M>
[[nodiscard]] std::int64_t members(M& module) {
  std::int64_t rows = 1;
  const auto count = [&](const std::string&, const auto& member) { rows = std::max(rows, member.value().dim(0)); };
  for_each_parameter(module, count);
  for_each_buffer(module, count);
  return rows;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto members(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Of a network of whose members other processes hold some, which are here; else null.
template <Visitable M>
[[nodiscard]] std::shared_ptr<const MemberShare> member_share(M& module) {
  std::shared_ptr<const MemberShare> share;
  for_each_parameter(module, [&](const std::string&, const auto& parameter) {
    if (!share) share = parameter.share();
  });
  return share;
}
/// For what is no module: says so.
template <detail::NoModule M>
auto member_share(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Throws Error where other processes hold some of the members, for what needs them all.
inline void require_all_members(const std::shared_ptr<const MemberShare>& share, const char* what) {
  if (!share) return;
  const MemberRange here = share->here();
  fail(what, ": this process holds ", here.count, " of ", share->members(), " members, from number ", here.first,
       " on, and all are needed; gather them first (distributed::Members::gather)");
}

/// The stores of a network; makes them at the first call. Flattening a part of a network, or a network of which a part
/// was flattened before, moves the weights to new stores: optimizers made for the old ones refuse to step, as they do
/// once a weight of theirs has been replaced (by assigning another network or layer, say) or is gone.
template <Visitable M>
std::shared_ptr<FlatWeights<WeightOf<M>, typename M::device_type>> flatten(M& module) {
  using W = WeightOf<M>;
  using D = typename M::device_type;
  std::shared_ptr<FlatWeights<W, D>> home;
  std::set<const void*> seen;
  bool together = true, first = true;
  for_each_parameter(module, [&](const std::string&, Parameter<W, D>& parameter) {
    if (first) home = parameter.home();
    first = false;
    together = together && parameter.home() && parameter.home() == home;
    seen.insert(parameter.id());
  });
  if (together && home && !home->retired && home->segments.size() == seen.size()) return home;
  return lay_out(module, members(module), member_share(module));
}
/// For what is no module: says so.
template <detail::NoModule M>
auto flatten(M&, auto&&...) {
  return detail::not_a_module<M>();
}

/// Throws NonFinite if a weight or a running statistic is NaN or infinite: weights can overflow in a step whose loss
/// was still finite. Reads all of them once: for the end of an epoch.
template <Visitable M>
void require_finite(M& module) {
  const auto check = [](const std::string& name, const auto& state) {
    require<NonFinite>(
        all_finite(state.value()), "'", name,
        "' holds an infinite number or NaN: training diverged; lower the learning rate, or clip gradients");
  };
  for_each_parameter(module, check);
  for_each_buffer(module, check);
}
/// For what is no module: says so.
template <detail::NoModule M>
auto require_finite(M&, auto&&...) {
  return detail::not_a_module<M>();
}

namespace detail {

/// A weight's rows as they came with the stores `from`, those that `to` has: where processes share members, all of them
/// are gathered, or those that are here taken.
template <class W, class D>
[[nodiscard]] Tensor<W, D> rows_between(const Tensor<W, D>& rows, const FlatWeights<W, D>& from,
                                        const FlatWeights<W, D>& to) {
  if (from.share == to.share) return rows;
  const auto all = from.share ? all_rows(*from.share, rows) : rows;
  return to.share ? all.rows(to.share->here().first, to.share->here().count) : all;
}

}  // namespace detail

/// Rearranges a tensor pair that came with the stores `from` (momenta, averages) for the stores `to`: one row is
/// repeated for every member, members' rows become their mean, and what has no past keeps its value in `result`, a pair
/// in the form of `to`.
template <class W, class D>
[[nodiscard]] FlatPair<W, D> rearrange(const FlatPair<W, D>& pair, const FlatWeights<W, D>& from,
                                       const FlatWeights<W, D>& to, FlatPair<W, D> result) {
  for (const Segment& target : to.segments)
    for (const Segment& source : from.segments) {
      if (source.id != target.id) continue;
      const auto& old_rows = source.late_phase ? pair.late : pair.base;
      auto& new_rows = target.late_phase ? result.late : result.base;
      auto rows = old_rows.columns(source.offset, {source.size});
      if (source.late_phase) rows = detail::rows_between(rows, from, to);
      const bool averages = new_rows.dim(0) == 1 && rows.dim(0) > 1;
      detail::copy_rows(averages ? mean_rows(rows) : rows, new_rows.columns(target.offset, {target.size}));
    }
  return result;
}

}  // namespace lpw::inline LPW_ABI::nn
