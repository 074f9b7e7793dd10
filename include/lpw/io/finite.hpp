// What tensors of a file must not hold to be a network's: numbers that are none, and variances below zero. A network
// with them computes NaN somewhere, far from the file that brought them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <lpw/io/named_tensors.hpp>
#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::io {

namespace detail {

template <class T>
void require_finite_as(const NamedTensor& tensor, const std::string& source) {
  T value;
  for (std::size_t i = 0; i < tensor.data.size() / sizeof(T); ++i) {
    std::memcpy(static_cast<void*>(&value), tensor.data.data() + i * sizeof(T), sizeof(T));  // of any alignment
    require<FileError>(is_finite(value), source, ": tensor '", tensor.name, "' holds ", static_cast<double>(value),
                       " at element ", i, ", which is no weight; the training that saved it had diverged");
  }
}

}  // namespace detail

/// Throws FileError, naming `source`, the tensor and the element, for a NaN or an infinity.
inline void require_finite(const NamedTensor& tensor, const std::string& source) {
  if (tensor.dtype == dtype_name<float>()) detail::require_finite_as<float>(tensor, source);
  if (tensor.dtype == dtype_name<double>()) detail::require_finite_as<double>(tensor, source);
  if (tensor.dtype == dtype_name<half>()) detail::require_finite_as<half>(tensor, source);
  if (tensor.dtype == dtype_name<bfloat16>()) detail::require_finite_as<bfloat16>(tensor, source);
}

/// Throws FileError for a running variance, which its name tells, with an element below zero.
template <class W>
void require_variance(const std::string& name, const Tensor<W, Cpu>& values, const std::string& source) {
  if (!name.ends_with("running_var")) return;
  const auto host = packed(values);
  for (std::int64_t i = 0; i < host.size(); ++i)
    require<FileError>(host.data()[i] >= W(0), source, ": tensor '", name, "' holds ", host.data()[i], " at element ",
                       i, ", which is no variance: expected 0 or more");
}

}  // namespace lpw::inline LPW_ABI::io
