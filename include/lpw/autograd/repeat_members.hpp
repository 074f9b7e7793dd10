// One row for all members: what a shared activation or parameter is to operations that want K rows.
#pragma once

#include <type_traits>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

/// x [1, ...] for each of K members: [K, ...], copied; the gradient is the sum over them. Throws ShapeError for an x
/// that has members, or for less than one.
template <class T, class D>
[[nodiscard]] Variable<T, D> repeat_members(const Variable<T, D>& x, std::int64_t members) {
  static_assert(!std::is_integral_v<T>,
                "lpw: repeat_members is of floating-point variables; whole numbers, which have no gradient, "
                "are given to Tape::input as K rows");
  const Shape own = x.shape();
  require<ShapeError>(own.rank() >= 1 && own[0] == 1 && members >= 1, "repeat_members: expected x [1 ...] for K >= 1, ",
                      "got ", own, " for K=", members);
  detail::require_elements("repeat_members", own);
  const Shape shape = own.with(0, members);
  const Tensor<T, D> in = x.rows();
  Strides along = strides_of(in);
  along[0] = 0;
  Tensor<T, D> y(shape);
  using Inputs = FunctionInputs<T, T, D>;
  apply_function<Function::identity>(shape, Inputs{.x = {in, along}}, StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      {"repeat_members", {{"members", members}}}, std::move(y),
      [shape, own, dx = x.edge()](Tensor<T, D> dy) {
        const auto [target, accumulate] = dx.sink(own);
        Strides onto = strides_of(target);
        onto[0] = 0;
        sum_function<Function::affine>(shape, Inputs{.x = Strided<T, D>::of(dy)},
                                       StridedTarget<T, D>{{target, onto}, accumulate});
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
