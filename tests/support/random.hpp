// Random operands, the same in every run: element i of a tensor is draw i of the generator that a key names.
#pragma once

#include <cstdint>

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::test {

/// The tensor whose element i is draw(i).
template <class T, class Draw>
[[nodiscard]] Tensor<T, Cpu> drawn(const Shape& shape, Draw&& draw) {
  Tensor<T, Cpu> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = draw(static_cast<std::uint64_t>(i));
  return tensor;
}

/// Values uniform in [-1, 1).
template <class T>
[[nodiscard]] Tensor<T, Cpu> random_tensor(const Shape& shape, std::uint32_t key) {
  const Philox random(2021, Stream::test, key);
  return drawn<T>(shape, [&](std::uint64_t i) { return T(2 * random.uniform(i) - 1); });
}

/// Normal values.
template <class T>
[[nodiscard]] Tensor<T, Cpu> normal_tensor(const Shape& shape, const Philox& random, double deviation = 1) {
  return drawn<T>(shape, [&](std::uint64_t i) { return static_cast<T>(deviation * random.normal(i)); });
}

/// Labels, or places of a table: from 0 to bound - 1. `first` numbers the first draw.
[[nodiscard]] inline Tensor<std::int32_t, Cpu> random_indices(const Shape& shape, std::int64_t bound,
                                                              const Philox& random = Philox(7, Stream::test, 1),
                                                              std::uint64_t first = 0) {
  return drawn<std::int32_t>(shape, [&](std::uint64_t i) {
    return static_cast<std::int32_t>(random.below(first + i, static_cast<std::uint32_t>(bound)));
  });
}

/// A parameter [rows, ...]: contiguous, or, as in the late-phase store, columns of a wider matrix whose other elements
/// are 77.
template <class T>
[[nodiscard]] Tensor<T, Cpu> random_parameter(const Shape& shape, bool strided, std::uint32_t key) {
  Tensor<T, Cpu> values = random_tensor<T>(shape, key);
  if (!strided) return values;
  const std::int64_t length = shape.size_from(1);
  Tensor<T, Cpu> store = full<T, Cpu>({shape[0], length + 5}, T(77));
  Tensor<T, Cpu> view = store.columns(3, shape.slice(1, shape.rank()));
  copy(values, view);
  return view;
}

/// The same, strided, of numbers that every type holds as they are.
template <class T>
[[nodiscard]] Tensor<T, Cpu> rounded_parameter(const Shape& shape, std::uint32_t key) {
  const auto values = random_tensor<double>(shape, key);
  auto result = random_parameter<T>(shape, true, key);
  for (std::int64_t k = 0; k < shape[0]; ++k)
    for (std::int64_t i = 0; i < shape.size_from(1); ++i)
      result.row(k)[i] = T(static_cast<double>(bfloat16(float(values.row(k)[i]))));
  return result;
}

/// True if the elements between the rows of a strided parameter still hold 77.
template <class T>
[[nodiscard]] bool gaps_untouched(const Tensor<T, Cpu>& parameter) {
  for (std::int64_t row = 0; row + 1 < parameter.dim(0); ++row)
    for (std::int64_t i = parameter.shape().size_from(1); i < parameter.row_stride(); ++i)
      if (parameter.row(row)[i] != T(77)) return false;
  return true;
}

}  // namespace lpw::test
