// Members over several processes: each keeps the rows of its own, and gathers all where they are needed. What follows
// the network (an optimizer's states, averages) goes along as with release and collapse.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

#include <lpw/late_phase/release.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Calls f(handle) once for each late-phase parameter and each buffer, and lays out the stores anew.
template <nn::Visitable M, class Follower, class F>
void rearrange_members(M& network, Follower& follower, std::int64_t members,
                       std::shared_ptr<const nn::MemberShare> share, F&& f) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  const auto old = nn::flatten(network);
  require(follower.follows(*old),
          "members: the optimizer was made for another network, or before this one was moved to other stores");
  std::set<const void*> seen;
  nn::for_each_parameter(network, [&](const std::string&, nn::Parameter<W, D>& parameter) {
    if (!parameter.late_phase() || !seen.insert(parameter.id()).second) return;
    auto rows = f(parameter.value());
    parameter.bind(rows, zeros<W, D>(rows.shape()), nullptr);
  });
  nn::for_each_buffer(network, [&](const std::string&, nn::Buffer<W, D>& buffer) {
    if (seen.insert(buffer.id()).second) buffer.bind(f(buffer.value()));
  });
  follower.rearrange(*old, nn::lay_out(network, members, std::move(share)));
}

}  // namespace detail

/// Leaves of a released network, with all members, those of a share. Throws Error for a network of another number of
/// members, or of which other processes hold some already.
template <nn::Visitable M, class Follower>
void spread_members(M& network, Follower&& follower, std::shared_ptr<const nn::MemberShare> share) {
  const auto flat = nn::flatten(network);
  nn::require_all_members(flat->share, "members");
  require(flat->members == share->members(), "members: the network has ", flat->members, ", the processes share ",
          share->members());
  const MemberRange here = share->here();
  detail::rearrange_members(network, follower, here.count, std::move(share),
                            [here](const auto& rows) { return rows.rows(here.first, here.count); });
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto spread_members(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// Makes a network whose members several processes hold what it is in one: all of them are here then, on each process,
/// with their optimizer's states and averages. Otherwise does nothing.
template <nn::Visitable M, class Follower>
void gather_members(M& network, Follower&& follower) {
  const auto share = nn::flatten(network)->share;
  if (!share) return;
  detail::rearrange_members(network, follower, share->members(), nullptr,
                            [&](const auto& rows) { return nn::all_rows(*share, rows); });
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto gather_members(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
