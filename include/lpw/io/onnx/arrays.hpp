// What moves the elements of arrays on the host: weights are brought into the order that an operator of ONNX wants when
// they are exported, not when they are used.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <lpw/io/onnx/model.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::io::onnx {

/// The same elements in another shape, of which one extent may be -1: what the others leave.
[[nodiscard]] inline Array reshaped(const Array& array, Dims dims) {
  std::int64_t product = 1;
  for (const std::int64_t extent : dims) product *= extent == -1 ? 1 : extent;
  std::replace(dims.begin(), dims.end(), std::int64_t{-1}, product == 0 ? 0 : array.size() / product);
  return {array.type, std::move(dims), array.bytes};
}

/// Axis i of the result is axis axes[i] of the array.
[[nodiscard]] inline Array permuted(const Array& array, const Dims& axes) {
  const std::size_t rank = axes.size(), size = array.element_size();
  Dims strides(rank, 1), dims(rank), along(rank), place(rank, 0);
  for (std::size_t axis = rank; axis-- > 1;) strides[axis - 1] = strides[axis] * array.dims[axis];
  for (std::size_t axis = 0; axis < rank; ++axis) {
    dims[axis] = array.dims[to_size(axes[axis])];
    along[axis] = strides[to_size(axes[axis])];
  }
  std::vector<std::byte> bytes(array.bytes->size());
  std::int64_t from = 0;
  for (std::size_t to = 0; to < bytes.size(); to += size) {
    std::memcpy(bytes.data() + to, array.bytes->data() + to_size(from) * size, size);
    for (std::size_t axis = rank; axis-- > 0;) {
      from += along[axis];
      if (++place[axis] < dims[axis]) break;
      from -= along[axis] * dims[axis];
      place[axis] = 0;
    }
  }
  return {array.type, std::move(dims), std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

/// The rows of the first axis at those indices.
[[nodiscard]] inline Array gathered(const Array& array, const Dims& indices) {
  Dims dims = array.dims;
  const std::size_t row = array.bytes->size() / to_size(dims[0]);
  dims[0] = static_cast<std::int64_t>(indices.size());
  std::vector<std::byte> bytes;
  bytes.reserve(indices.size() * row);
  for (const std::int64_t index : indices) {
    const auto first = array.bytes->begin() + static_cast<std::ptrdiff_t>(to_size(index) * row);
    bytes.insert(bytes.end(), first, first + static_cast<std::ptrdiff_t>(row));
  }
  return {array.type, std::move(dims), std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

/// The arrays one behind the other along the first axis.
[[nodiscard]] inline Array concatenated(const std::vector<Array>& parts) {
  Dims dims = parts.front().dims;
  dims[0] = 0;
  std::vector<std::byte> bytes;
  for (const Array& part : parts) {
    dims[0] += part.dims[0];
    bytes.insert(bytes.end(), part.bytes->begin(), part.bytes->end());
  }
  return {parts.front().type, std::move(dims), std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

}  // namespace lpw::inline LPW_ABI::io::onnx
