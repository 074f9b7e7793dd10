// NamedTensors: what files of weights hold, whatever their format: host tensors of any element type, each with its
// name. The bytes are shared, not copied: they belong to the tensor that was added or to the file that was read, and
// live as long as they are needed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::io {

static_assert(std::endian::native == std::endian::little,
              "files hold little-endian numbers, which are copied as they are");

/// Bytes per element of a dtype as safetensors names it, or 0 for one that is not known. Those without a C++ type here
/// (F16, BOOL, ...) can be stored and listed, but not read as a Tensor.
[[nodiscard]] constexpr std::size_t element_size(std::string_view dtype) {
  for (auto name : {"F64", "I64", "U64"})
    if (dtype == name) return 8;
  for (auto name : {"F32", "I32", "U32"})
    if (dtype == name) return 4;
  for (auto name : {"BF16", "F16", "I16", "U16"})
    if (dtype == name) return 2;
  for (auto name : {"U8", "I8", "BOOL"})
    if (dtype == name) return 1;
  return 0;
}

/// Bytes of a contiguous tensor; nothing where they, or the elements past some zero extent, do not fit in 63 bits.
[[nodiscard]] inline std::optional<std::uint64_t> byte_size(std::string_view dtype, const Shape& shape) {
  auto bytes = static_cast<std::int64_t>(element_size(dtype));
  bool zero = false;
  for (const std::int64_t extent : shape) {
    zero = zero || extent == 0;
    if (extent > 0 && __builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return zero ? 0 : static_cast<std::uint64_t>(bytes);
}

/// A contiguous, row-major, little-endian array in host memory, with any alignment.
struct NamedTensor {
  std::string name;                   // of the tensor
  std::string dtype;                  // "F32", "BF16", "F64", "I32", "I64", "U8", ...
  Shape shape;                        // row-major
  std::span<const std::byte> data;    // its bytes, little-endian
  std::shared_ptr<const void> owner;  // keeps data alive
};

/// Tensors in the order they were added, no two of the same name. `source` opens the error messages: the path of a file
/// that was read.
class NamedTensors {
 public:
  NamedTensors() = default;
  /// Without tensors.
  explicit NamedTensors(std::string source) : source_(std::move(source)) {}

  /// Adds a tensor of any shape. A contiguous one is shared: what is written to it later is seen here. A strided one is
  /// copied. Throws Error for an empty handle or a name that is already there.
  template <class T>
  void add(std::string name, const Tensor<T, Cpu>& tensor) {
    require<Error>(!tensor.empty(), source_, ": tensor '", name, "' has no memory");
    auto owner = std::make_shared<const Tensor<T, Cpu>>(packed(tensor));
    const auto data = std::as_bytes(std::span(owner->data(), static_cast<std::size_t>(owner->size())));
    add({std::move(name), std::string(dtype_name<T>()), tensor.shape(), data, std::move(owner)});
  }

  /// Throws Error for an unknown dtype, for data of another size than dtype and shape say, or a name that is already
  /// there.
  void add(NamedTensor tensor) {
    require<Error>(element_size(tensor.dtype) > 0, source_, ": tensor '", tensor.name, "' has the unknown dtype '",
                   tensor.dtype, "'");
    require<Error>(byte_size(tensor.dtype, tensor.shape) == tensor.data.size(), source_, ": tensor '", tensor.name,
                   "' ", tensor.dtype, " ", tensor.shape, " does not have ", tensor.data.size(), " bytes");
    const bool added = positions_.emplace(tensor.name, tensors_.size()).second;
    require<Error>(added, source_, ": two tensors of the name '", tensor.name, "'");
    tensors_.push_back(std::move(tensor));
  }

  /// What opens error messages.
  [[nodiscard]] const std::string& source() const { return source_; }
  /// Number of tensors, which begin() and end() walk over in the order they were added.
  [[nodiscard]] std::size_t size() const { return tensors_.size(); }
  [[nodiscard]] auto begin() const { return tensors_.begin(); }
  [[nodiscard]] auto end() const { return tensors_.end(); }
  /// Whether there is a tensor of this name.
  [[nodiscard]] bool contains(std::string_view name) const { return positions_.find(name) != positions_.end(); }

  /// Throws FileError if there is no tensor of this name.
  [[nodiscard]] const NamedTensor& at(std::string_view name) const {
    const auto found = positions_.find(name);
    require<FileError>(found != positions_.end(), source_, ": has no tensor '", name, "' among its ", tensors_.size());
    return tensors_[found->second];
  }

  /// Throws FileError where the tensor `name` is missing or of another element type or shape.
  template <class T>
  void require_form(std::string_view name, const Shape& shape) const {
    const NamedTensor& found = at(name);
    require<FileError>(found.dtype == dtype_name<T>() && found.shape == shape, source_, ": tensor '", name, "' is ",
                       found.dtype, " ", found.shape, ", expected ", dtype_name<T>(), " ", shape);
  }

  /// A copy of the tensor `name`. Throws FileError where it is missing or of another element type or shape.
  template <class T>
  [[nodiscard]] Tensor<T, Cpu> get(std::string_view name, const Shape& shape) const {
    require_form<T>(name, shape);  // before memory is taken for it
    Tensor<T, Cpu> result(shape);
    copy_to(name, result);
    return result;
  }

  /// A copy of the tensor `name`, its F16, BF16, F32 or F64 elements rounded to T. Throws FileError where it is
  /// missing, of another element type or shape, or holds a finite value beyond T's largest.
  template <class T>
  [[nodiscard]] Tensor<T, Cpu> get_converted(std::string_view name, const Shape& shape) const {
    const std::string& dtype = at(name).dtype;
    if (dtype == dtype_name<T>()) return get<T>(name, shape);
    if (dtype == "F16") return converted<T, half>(name, shape);
    if (dtype == "BF16") return converted<T, bfloat16>(name, shape);
    if (dtype == "F32") return converted<T, float>(name, shape);
    if (dtype == "F64") return converted<T, double>(name, shape);
    return get<T>(name, shape);
  }

  /// Copies the tensor `name` into one of the same shape, which may be strided. Throws FileError as get() does.
  template <class T>
  void copy_to(std::string_view name, Tensor<T, Cpu>& to) const {
    require_form<T>(name, to.shape());
    const NamedTensor& from = at(name);
    if (to.size() == 0) return;
    const std::int64_t rows = to.contiguous() ? 1 : to.dim(0);
    const std::size_t row_bytes = from.data.size() / static_cast<std::size_t>(rows);
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(static_cast<void*>(to.row(i)), from.data.data() + static_cast<std::size_t>(i) * row_bytes, row_bytes);
  }

 private:
  template <class T, class From>
  [[nodiscard]] Tensor<T, Cpu> converted(std::string_view name, const Shape& shape) const {
    const NamedTensor& from = at(name);
    require<FileError>(from.shape == shape, source_, ": tensor '", name, "' is ", from.dtype, " ", from.shape,
                       ", expected ", shape);
    constexpr double largest = static_cast<double>(std::numeric_limits<T>::max());
    Tensor<T, Cpu> result(shape);
    for (std::int64_t i = 0; i < result.size(); ++i) {
      const double value = exact<From>(from.data.data() + static_cast<std::size_t>(i) * sizeof(From));
      require<FileError>(!(is_finite(value) && std::abs(value) > largest), source_, ": tensor '", name, "': element ",
                         i, " is ", value, ", beyond the largest of ", dtype_name<T>(), ", ", largest);
      result.data()[i] = static_cast<T>(value);
    }
    return result;
  }
  /// The number whose bits lie at `bytes`, of any alignment.
  template <class From>
  [[nodiscard]] static double exact(const std::byte* bytes) {
    if constexpr (sizeof(From) == 2) {
      std::uint16_t bits;
      std::memcpy(&bits, bytes, sizeof bits);
      return static_cast<double>(static_cast<float>(From::from_bits(bits)));
    } else {
      From value;
      std::memcpy(&value, bytes, sizeof value);
      return static_cast<double>(value);
    }
  }

  std::string source_ = "tensors";
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> positions_;
};

}  // namespace lpw::inline LPW_ABI::io
