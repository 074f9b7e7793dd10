// What launches share: tensors as kernels see them, as members, rows and channels, and the choice among a kernel's
// instantiations.
#pragma once

#include <initializer_list>
#include <type_traits>

#include <lpw/cuda/base/device.hpp>
#include <lpw/kernels/device.cuh>
#include <lpw/primitives/layout.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// body(std::integral_constant) for a width as from vector_width: kernels are instantiated for 1 element and for those
/// of 16 bytes.
template <class T, class Body>
void with_width(int width, const Body& body) {
  if (width == 1) return body(std::integral_constant<int, 1>());
  body(std::integral_constant<int, kernels::widest<T>>());
}

/// Throws ShapeError where a kernel that counts in 32 bits could not take so many.
inline void require_countable(const char* primitive, const char* what, std::int64_t count) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  require<ShapeError>(count <= most, primitive, ": ", count, ' ', what,
                      "; on the GPU there may be 2^30, so take a smaller minibatch");
}

/// x [K, ..., C] as [K, M, C]. Throws ShapeError past 2^30 of any.
[[nodiscard]] inline MemberRows member_rows(const char* primitive, const Shape& shape) {
  const auto view = MemberRows::of(shape);
  require_countable(primitive, "members", view.members);
  require_countable(primitive, "rows of a member", view.rows);
  require_countable(primitive, "channels", view.channels);
  return view;
}

/// Elements from member to member of a parameter [1 or K, ...], as kernels take it: 0 where members share it, or where
/// there is none. A parameter of one member is its own, which saves a sum over the members.
template <class T>
[[nodiscard]] std::int64_t member_stride(const Tensor<T, Cuda>& parameter, std::int64_t members) {
  if (parameter.empty()) return 0;
  if (parameter.dim(0) > 1) return parameter.row_stride();
  return members > 1 ? 0 : parameter.size();
}

/// body(width, MemberLaunch) for a kernel that goes down the rows of [K, M, C]; `arrays` are those that it accesses by
/// vectors, `sums` as for plan_member_rows.
template <class T, class Body>
void with_row_plan(const MemberRows& view, std::initializer_list<const void*> arrays, bool sums, const Body& body) {
  const int width = vector_width<T>(view.channels, arrays);
  const auto plan = plan_member_rows(view.members, view.rows, view.channels, width, sums);
  with_width<T>(width, [&](auto n) { body(n, plan); });
}

}  // namespace lpw::inline LPW_ABI::cuda
