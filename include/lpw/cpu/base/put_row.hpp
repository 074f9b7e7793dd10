// What a loop over contiguous elements writes, or adds to what is there.
#pragma once

#include <cstdint>

#include <lpw/tensor/dtype.hpp>

namespace lpw::inline LPW_ABI::detail {

/// to (+)= value(i) for the elements i of `count`. Whether to add is asked once: a loop that asks for each element
/// reads under a condition, which compilers vectorise for AVX-512 alone.
template <class T, class Value>
void put_row(T* to, std::int64_t count, bool accumulate, Value&& value) {
  if (accumulate) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) store(to[i], Accumulate<T>(to[i]) + value(i));
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) store(to[i], value(i));
  }
}

}  // namespace lpw::inline LPW_ABI::detail
