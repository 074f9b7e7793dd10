// Of a network whose members several processes hold: how many there are, which of them are here, and the way to the
// others'. distributed/ makes it and stores carry it, so that what needs all members (collapse, clipping by a norm, an
// ensemble's prediction) gets at them, and what cannot refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <lpw/autograd/primitives.hpp>
#include <lpw/autograd/process_sums.hpp>
#include <lpw/autograd/tape.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::nn {

/// The members [here.first, here.first + here.count) of K. What it does, all processes must do together. Of fewer
/// members than processes each has several processes, which hold the same bits of it; what is gathered then is the
/// first one's of each. What is one is also a ProcessSums, of all processes, of the network's device.
class MemberShare {
 public:
  /// `part`: of the `parts` processes that hold the one member here, which this is.
  MemberShare(std::int64_t members, MemberRange here, std::int64_t part = 0, std::int64_t parts = 1)
      : members_(members), here_(here), part_(part), parts_(parts) {}
  MemberShare(const MemberShare&) = delete;
  MemberShare& operator=(const MemberShare&) = delete;
  virtual ~MemberShare() = default;

  /// K.
  [[nodiscard]] std::int64_t members() const { return members_; }
  /// The members that this process holds.
  [[nodiscard]] MemberRange here() const { return here_; }
  /// Which of the processes this is that hold its one member.
  [[nodiscard]] std::int64_t part() const { return part_; }
  /// How many processes hold it; 1 where each holds members of its own.
  [[nodiscard]] std::int64_t parts() const { return parts_; }

  /// What all members' processes give, one after another, on each of them.
  virtual void gather(std::span<const std::byte> own, std::span<std::byte> all) const = 0;

 private:
  std::int64_t members_;
  MemberRange here_;
  std::int64_t part_, parts_;
};

/// A number of each of all members [K], given those of the members here: work on the device, where processes sum there.
template <class W, class D>
[[nodiscard]] Tensor<W, D> all_numbers(const MemberShare& share, const Tensor<W, D>& own) {
  auto all = zeros<W, D>({share.members()});
  auto here = all.rows(share.here().first, share.here().count);
  if (share.part() == 0) copy(own, here);
  lpw::detail::sum_over(share, all);  // with zeros: the same bits in any order
  return all;
}

/// All members' rows [K, ...], given those of the members here.
template <class T, class D>
[[nodiscard]] Tensor<T, D> all_rows(const MemberShare& share, const Tensor<T, D>& rows) {
  const Tensor<T, Cpu> own = clone(to_host(rows));  // contiguous
  Tensor<T, Cpu> all(rows.shape().with(0, share.members()));
  share.gather(std::as_bytes(std::span(own.data(), to_size(own.size()))),
               std::as_writable_bytes(std::span(all.data(), to_size(all.size()))));
  return to_device<D>(all);
}

}  // namespace lpw::inline LPW_ABI::nn
