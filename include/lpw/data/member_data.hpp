// What the members of an ensemble read.
#pragma once

#include <cstdint>
#include <utility>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::data {

/// What the members' minibatches have to do with each other.
enum class MemberData {
  own,   // each its own, and together they visit the training set once an epoch (the method's Algorithm 1)
  same,  // all the same one, augmented alike: as BatchEnsemble's and TreeNets' members
  whole  // each visits the whole set in an order of its own, with augmentation of its own: as in a deep ensemble
};

/// The members whose minibatches are made: all K, as a plain number says, or [first, first + count) of them, where
/// other processes make the others'. A member's minibatches are the same in either case. Of each the part number `part`
/// of `parts`, all about as large, is made; the whole, where it has fewer samples than that.
struct ReadMembers {
  std::int64_t all = 1;               // K
  std::int64_t first = 0, count = 1;  // the members
  std::int64_t part = 0, parts = 1;   // of each member's minibatch

  /// All of them.
  constexpr ReadMembers(std::int64_t members) : all(members), count(members) {}
  /// Members [from, from + made) of K.
  constexpr ReadMembers(std::int64_t members, std::int64_t from, std::int64_t made)
      : all(members), first(from), count(made) {}
  /// A part of one member's.
  [[nodiscard]] static constexpr ReadMembers part_of_one(std::int64_t part, std::int64_t parts) {
    ReadMembers members(1);
    members.part = part, members.parts = parts;
    return members;
  }
  /// Which of a minibatch's samples the part has: how many, after how many others.
  [[nodiscard]] constexpr std::pair<std::int64_t, std::int64_t> samples_of(std::int64_t batch) const {
    if (batch < parts) return {batch, 0};
    const std::int64_t before = batch * part / parts;
    return {batch * (part + 1) / parts - before, before};
  }
};

/// The seed of member k's order and augmentation with MemberData::whole, and of its weights where they are drawn anew:
/// a network that is trained alone with this seed is that member. Member 0 has the run's own.
[[nodiscard]] constexpr std::uint64_t member_seed(std::uint64_t seed, std::int64_t k) {
  return seed + static_cast<std::uint64_t>(k) * 0x9e3779b97f4a7c15u;  // modulo 2^64; seeds of other runs are far
}

}  // namespace lpw::inline LPW_ABI::data
