// Tensors in another element type: the weights, which are float, as what a library multiplies.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <functional>
#include <map>
#include <tuple>
#include <type_traits>
#include <utility>

#include <lpw/cuda/base/device.hpp>
#include <lpw/tensor/unchanged_weights.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda {

namespace detail {

/// Whether all of `rows` rows begin at multiples of 16 bytes.
template <class T>
[[nodiscard]] bool rows_aligned(const T* data, std::int64_t rows, std::int64_t stride) {
  const bool apart = rows > 1 && stride * static_cast<std::int64_t>(sizeof(T)) % 16 != 0;
  return !apart && reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

template <class From, class To>
void launch_convert(const kernels::Convert<From, To>& p) {
  constexpr int widest = kernels::convert_width<From, To>;
  const bool wide = rows_aligned(p.from, p.rows, p.from_stride) && rows_aligned(p.to, p.rows, p.to_stride);
  const auto plan = element_plan(wide ? p.length / widest : p.length, p.rows);
  launch(wide ? kernels::convert<From, To, widest> : kernels::convert<From, To, 1>, plan, p);
}

}  // namespace detail

/// to (+)= from, rounded to To, row by row where either is strided.
template <class From, class To>
void convert(const Tensor<From, Cuda>& from, Tensor<To, Cuda>& to, bool accumulate = false) {
  if (from.size() == 0) return;
  const bool flat = from.contiguous() && to.contiguous();
  const std::int64_t length = flat ? from.size() : from.shape().size_from(1);
  detail::launch_convert<From, To>({.from = from.data(),
                                    .to = to.data(),
                                    .rows = flat ? 1 : from.dim(0),
                                    .length = length,
                                    .from_stride = flat ? 0 : from.row_stride(),
                                    .to_stride = flat ? 0 : to.row_stride(),
                                    .padded = length,
                                    .accumulate = accumulate});
}

/// As many elements of T as fill 16 bytes whole; of float, which is not copied, no more than there are.
template <class T>
[[nodiscard]] constexpr std::int64_t whole_vectors(std::int64_t elements) {
  constexpr std::int64_t width = std::is_same_v<T, float> ? 1 : kernels::widest<T>;
  return (elements + width - 1) / width * width;
}

namespace detail {

/// A weight [K, ..., C] as T, with zeros in the columns from C up to `columns`.
template <class T>
[[nodiscard]] Tensor<T, Cuda> rounded_weights(const Tensor<float, Cuda>& weight, std::int64_t columns) {
  const Shape& shape = weight.shape();
  const std::int64_t last = shape[-1];
  Tensor<T, Cuda> result(shape.with(shape.rank() - 1, columns));
  if (columns == last) {
    convert(weight, result);
    return result;
  }
  const std::int64_t members = weight.contiguous() ? 1 : weight.dim(0), rows = weight.size() / last / members;
  for (std::int64_t k = 0; k < members; ++k)
    launch_convert<float, T>({.from = weight.row(k),
                              .to = result.row(k),
                              .rows = rows,
                              .length = last,
                              .from_stride = last,
                              .to_stride = columns,
                              .padded = columns,
                              .accumulate = false});
  return result;
}

}  // namespace detail
}  // namespace cuda

/// Keeps what weights_as() makes of these weights.
template <>
class UnchangedWeights<float, Cuda> {
 public:
  /// Of both stores.
  UnchangedWeights(const Tensor<float, Cuda>& base, const Tensor<float, Cuda>& late)
      : stores_{base, late}, before_(std::exchange(current(), this)) {}
  UnchangedWeights(const UnchangedWeights&) = delete;
  UnchangedWeights& operator=(const UnchangedWeights&) = delete;
  ~UnchangedWeights() { current() = before_; }

  /// The latest that lives, or null.
  [[nodiscard]] static UnchangedWeights*& current() {
    static UnchangedWeights* current = nullptr;
    return current;
  }

  /// Where the copy of a weight as T is kept, empty at first; null for what does not lie in the stores.
  template <class T>
  [[nodiscard]] Tensor<T, Cuda>* copy_of(const Tensor<float, Cuda>& weight, std::int64_t columns) {
    const bool known = std::any_of(stores_.begin(), stores_.end(), [&](const Tensor<float, Cuda>& store) {
      return std::less_equal<>()(store.data(), weight.data()) &&
             std::less<>()(weight.data(), store.data() + store.size());
    });
    if (!known) return nullptr;
    return &std::get<Copies<T>>(copies_)[{weight.data(), weight.dim(0), weight.size(), columns}];
  }

 private:
  /// By place, rows, size, and columns of the copy.
  template <class T>
  using Copies = std::map<std::tuple<const float*, std::int64_t, std::int64_t, std::int64_t>, Tensor<T, Cuda>>;

  std::array<Tensor<float, Cuda>, 2> stores_;
  UnchangedWeights* before_;
  std::tuple<Copies<bfloat16>, Copies<half>> copies_;
};

namespace cuda {

/// A weight [K, ..., C] as T, with `columns` columns if that is not 0: those past C are zeros. Shares the weight's
/// memory where it is that already, and an earlier copy's where the weight is among UnchangedWeights: not to be
/// written.
template <class T>
[[nodiscard]] Tensor<T, Cuda> weights_as(const Tensor<float, Cuda>& weight, std::int64_t columns = 0) {
  if constexpr (std::is_same_v<T, float>) {
    assert(columns == 0 || columns == weight.shape()[-1]);
    return weight;
  } else {
    if (columns == 0) columns = weight.shape()[-1];
    auto* const unchanged = UnchangedWeights<float, Cuda>::current();
    auto* const kept = unchanged ? unchanged->copy_of<T>(weight, columns) : nullptr;
    if (!kept) return detail::rounded_weights<T>(weight, columns);
    if (kept->empty()) *kept = detail::rounded_weights<T>(weight, columns);
    return kept->reshaped(weight.shape().with(weight.shape().rank() - 1, columns));
  }
}

}  // namespace cuda
}  // namespace lpw::inline LPW_ABI
