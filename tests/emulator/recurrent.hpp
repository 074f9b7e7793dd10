// What the tests of recurrent cells' kernels share: the sizes and parameters of a step, and which steps are tried.
#pragma once

#include <cstdint>
#include <type_traits>

#include "emulator/kernel_check.hpp"

#include <lpw/kernels/lstm_cell.cuh>

namespace lpw::test {

/// One step, as a window and a late-phase store hold its operands.
struct CellSizes {
  std::int64_t members, rows, units, parameter_rows;
  bool factors, aligned;  // parameters, to what vectors of 4 take
  std::int64_t columns;   // of `next` and of backward's product

  [[nodiscard]] Shape state() const { return {members, rows, units}; }

  /// Member rows apart by as much as keeps vectors of 4 aligned.
  template <class V>
  [[nodiscard]] static Tensor<V, Cpu> strided(const Shape& shape, std::uint32_t key) {
    const std::int64_t length = shape.size_from(1);
    auto store = full<V, Cpu>({shape[0], length + 8}, V(77.f));
    auto view = store.columns(4, shape.slice(1, shape.rank()));
    copy(random_tensor<V>(shape, key), view);
    return view;
  }
  [[nodiscard]] Tensor<float, Cpu> parameter(std::int64_t columns, std::uint32_t key) const {
    if (aligned) return strided<float>({parameter_rows, columns}, key);
    return random_parameter<float>({parameter_rows, columns}, true, key);
  }
  [[nodiscard]] Tensor<float, Cpu> factor(std::int64_t columns, std::uint32_t key) const {
    return factors ? parameter(columns, key) : Tensor<float, Cpu>();
  }
  /// What a kernel, or the CPU in double, takes of a parameter.
  [[nodiscard]] static kernels::MemberParameter of_kernel(const Tensor<float, Cpu>& tensor) {
    return {tensor.data(), !tensor.empty() && tensor.dim(0) > 1 ? tensor.row_stride() : 0};
  }
  [[nodiscard]] static Tensor<double, Cpu> exactly(const Tensor<float, Cpu>& tensor) {
    return tensor.empty() ? Tensor<double, Cpu>() : converted<double>(tensor);
  }
  /// [K, B, H] with the columns past H, which hold zeros.
  [[nodiscard]] Tensor<double, Cpu> in_columns(const Tensor<double, Cpu>& tensor) const {
    auto result = zeros<double, Cpu>(state().with(2, columns));
    auto view = result.reshaped({members * rows, columns}).columns(0, {units});
    copy(tensor.reshaped({members * rows, units}), view);
    return result;
  }
  /// The first H columns.
  template <class T>
  [[nodiscard]] Tensor<double, Cpu> in_units(const Tensor<T, Cpu>& tensor) const {
    const auto view = converted<double>(tensor).reshaped({members * rows, columns}).columns(0, {units});
    return clone(view).reshaped(state());
  }
};

/// Values of up to 5 from some twenty roundings, exp and tanh among them, rounded to T twice on their way.
template <class T>
constexpr double cell_tolerance = 40 * epsilon<float>() + 2 * epsilon<T>();

/// Calls body(step, width) for sizes that fill vectors of 4 or do not, and all forms of parameters.
template <class Step, class Body>
void for_each_step(const Body& body) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t units : {1, 5, 16, 36, 300})
      for (const std::int64_t parameter_rows : {std::int64_t{1}, members})
        for (const bool factors : {false, true}) {
          if (units == 300 && members > 1) continue;
          const std::int64_t rows = 120 / units + 1;
          INFO("members " << members << " rows " << rows << " units " << units << " parameter rows " << parameter_rows
                          << " factors " << factors);
          const bool whole = units == 5 || units == 36;  // rows filled up to a multiple of 16 bytes
          Step narrow{{members, rows, units, parameter_rows, factors, whole, whole ? units + 3 : units}};
          body(narrow, std::integral_constant<int, 1>());
          if (units % 4 != 0) continue;
          for (const bool aligned : {false, true}) {
            Step wide{{members, rows, units, parameter_rows, factors, aligned, whole ? units + 4 : units}};
            body(wide, std::integral_constant<int, 4>());
          }
        }
}

}  // namespace lpw::test
