// Tensor<T, Device>: a handle to an array on a device. Copying a handle shares the memory (clone() copies it); memory
// comes from the device's pool and returns to it with the last handle, or it is somebody else's, kept by an owner
// (view). Row-major and contiguous, with one exception: the rows along the first axis may lie further apart than their
// size, which is how a parameter views its columns of the K x P late-phase store.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/pool.hpp>
#include <lpw/tensor/shape.hpp>

namespace lpw::inline LPW_ABI {

/// The host processor.
struct Cpu {
  static constexpr const char* name = "cpu";  // in messages
  /// A block of the process's pool. Throws OutOfMemory.
  [[nodiscard]] static void* allocate(std::size_t bytes) { return cpu_pool().allocate(bytes); }
  /// Gives a block back.
  static void deallocate(void* block, std::size_t bytes) noexcept { cpu_pool().deallocate(block, bytes); }
  /// Gives unused memory back to the system, when what comes next is of other sizes.
  static void trim() { cpu_pool().trim(); }
};

/// An array of T on a device: a shape and a handle to memory.
template <class T, class Device>
class Tensor {
 public:
  using value_type = T;
  using device_type = Device;

  /// No memory, shape [].
  Tensor() = default;

  /// Uninitialised memory. Throws OutOfMemory, or ShapeError past 2^63 bytes.
  explicit Tensor(const Shape& shape) : shape_(shape) {
    const std::size_t bytes = byte_count(shape);
    row_stride_ = shape.rank() ? shape.size_from(1) : 1;
    void* block = Device::allocate(bytes);
    storage_ = std::shared_ptr<void>(block, [bytes](void* p) { Device::deallocate(p, bytes); });
    data_ = static_cast<T*>(block);
  }

  /// Elements that lpw did not allocate: `shape` at `data`, an address on the device, aligned to T. Row-major; the rows
  /// of the first axis lie `row_stride` elements apart, by default as many as they have. Nothing is copied: `owner`
  /// keeps the memory alive, up to the end of the last handle to it (null: the caller does). The tensor serves wherever
  /// others do, and writing to it writes there; no operation overwrites it of its own accord (unique() is false).
  /// Throws ShapeError for rows that overlap, Error for an address that is null or not aligned.
  ///
  /// On a GPU: what other streams write there must have been waited for, and as the last handle may go while lpw's
  /// stream still reads, the owner frees the memory as cudaFree does, or in that stream's order. A captured graph holds
  /// the address and no handle.
  [[nodiscard]] static Tensor view(T* data, const Shape& shape, std::shared_ptr<const void> owner,
                                   std::optional<std::int64_t> row_stride = {}) {
    return make_view(data, shape, std::move(owner), row_stride, Access::foreign);
  }
  /// The same of memory that must not be written, a mapped file's, say: read_only().
  [[nodiscard]] static Tensor view(const T* data, const Shape& shape, std::shared_ptr<const void> owner,
                                   std::optional<std::int64_t> row_stride = {}) {
    return make_view(const_cast<T*>(data), shape, std::move(owner), row_stride, Access::read_only);
  }

  Tensor(const Tensor&) = default;
  Tensor& operator=(const Tensor&) = default;
  /// A tensor that was moved from is empty.
  Tensor(Tensor&& other) noexcept
      : storage_(std::move(other.storage_)),
        data_(std::exchange(other.data_, nullptr)),
        shape_(std::exchange(other.shape_, {})),
        row_stride_(std::exchange(other.row_stride_, 1)),
        access_(std::exchange(other.access_, Access::own)) {}
  /// The other one is empty then.
  Tensor& operator=(Tensor&& other) noexcept {
    Tensor moved(std::move(other));
    std::swap(storage_, moved.storage_);
    std::swap(data_, moved.data_);
    std::swap(shape_, moved.shape_);
    std::swap(row_stride_, moved.row_stride_);
    std::swap(access_, moved.access_);
    return *this;
  }
  ~Tensor() = default;

  /// Whether this handle has no memory; a tensor of zero elements has some.
  [[nodiscard]] bool empty() const { return data_ == nullptr; }
  /// Its extents; [] for an empty handle.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  /// Extent of an axis; negative axes count from the end.
  [[nodiscard]] std::int64_t dim(int axis) const { return shape_[axis]; }
  /// Number of elements.
  [[nodiscard]] std::int64_t size() const { return empty() ? 0 : shape_.size(); }
  /// The first element, to be written: throws Error where the tensor is read_only().
  [[nodiscard]] T* data() {
    if (read_only()) [[unlikely]]
      refuse_writing();
    return data_;
  }
  /// The first element, to be read.
  [[nodiscard]] const T* data() const { return data_; }

  /// Elements from one row of the first axis to the next.
  [[nodiscard]] std::int64_t row_stride() const { return row_stride_; }
  /// Where row i of the first axis begins, to be written: as data().
  [[nodiscard]] T* row(std::int64_t i) { return data() + i * row_stride_; }
  /// Where row i of the first axis begins, to be read.
  [[nodiscard]] const T* row(std::int64_t i) const { return data_ + i * row_stride_; }
  /// Whether the elements lie one after another.
  [[nodiscard]] bool contiguous() const {
    return shape_.rank() == 0 || shape_[0] <= 1 || row_stride_ == shape_.size_from(1);
  }
  /// True if nobody else knows this memory, so that it may be overwritten: no other handle shares it, and it is no view
  /// of memory that lpw did not allocate.
  [[nodiscard]] bool unique() const { return access_ == Access::own && storage_.use_count() == 1; }
  /// Whether this views memory that must not be written: whoever asks for a pointer to write by (copy and fill do) gets
  /// an Error.
  [[nodiscard]] bool read_only() const { return access_ == Access::read_only; }

  /// The rows [first, first + count) of the first axis, sharing memory.
  [[nodiscard]] Tensor rows(std::int64_t first, std::int64_t count) const {
    const AxisPart part{first, count};
    require<ShapeError>(part.within(shape_[0]), "rows: ", part, " of a tensor ", shape_);
    Tensor view = *this;
    view.data_ += first * row_stride_;
    view.shape_ = shape_.with(0, count);
    return view;
  }

  /// The same memory under another shape. Throws ShapeError unless of equal size, and contiguous or with as many rows.
  [[nodiscard]] Tensor reshaped(const Shape& shape) const {
    const bool strided = !contiguous();
    require<ShapeError>(!strided || (shape.rank() > 0 && shape[0] == shape_[0]), "reshaped: ", shape_,
                        " is not contiguous");
    require<ShapeError>(shape.size() == shape_.size(), "reshaped: ", shape_, " has ", shape_.size(), " elements, ",
                        shape, " has ", shape.size());
    Tensor view = *this;
    view.shape_ = shape;
    if (!strided) view.row_stride_ = shape.rank() ? shape.size_from(1) : 1;
    return view;
  }

  /// For a matrix [K, P]: the columns [offset, offset + row.size()) of every row as [K, ...row], sharing memory.
  [[nodiscard]] Tensor columns(std::int64_t offset, const Shape& row) const {
    require<ShapeError>(shape_.rank() == 2 && AxisPart{offset, row.size()}.within(shape_[1]), "columns: ", row, " at ",
                        offset, " of a tensor ", shape_);
    Tensor view = *this;
    view.data_ += offset;
    view.shape_ = row.prepend(shape_[0]);
    return view;
  }

 private:
  enum class Access : std::uint8_t { own, foreign, read_only };

  [[nodiscard]] static Tensor make_view(T* data, const Shape& shape, std::shared_ptr<const void> owner,
                                        std::optional<std::int64_t> row_stride, Access access) {
    if (data == nullptr && shape.size() == 0) return Tensor(shape);  // as of an empty std::vector
    static_cast<void>(byte_count(shape));
    const std::int64_t length = shape.rank() ? shape.size_from(1) : 1;
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    require(data != nullptr, "view: a tensor ", shape, " at no address (null)");
    require(address % alignof(T) == 0, "view: a tensor ", shape, " at address ", address, ", expected a multiple of ",
            alignof(T), ", the alignment of its elements; copy them to memory that is aligned");
    Tensor result;
    result.storage_ = std::const_pointer_cast<void>(std::move(owner));
    result.data_ = data;
    result.shape_ = shape;
    result.row_stride_ = row_stride.value_or(length);
    result.access_ = access;
    require<ShapeError>(result.row_stride_ >= length, "view: the rows of a tensor ", shape, " overlap: they have ",
                        length, " elements and lie ", result.row_stride_, " apart");
    return result;
  }

  [[noreturn]] void refuse_writing() const {
    fail("tensor ", shape_,
         ": views memory that must not be written; read it by a const handle, or write to its clone()");
  }

  static std::size_t byte_count(const Shape& shape) {
    std::int64_t bytes = sizeof(T);
    for (const std::int64_t extent : shape)
      require<ShapeError>(!__builtin_mul_overflow(bytes, extent, &bytes), "tensor: ", shape,
                          " has more than 2^63 bytes");
    return static_cast<std::size_t>(bytes);
  }

  std::shared_ptr<void> storage_;
  T* data_ = nullptr;
  Shape shape_;
  std::int64_t row_stride_ = 1;
  Access access_ = Access::own;
};

/// Copies `from` into `to`, row by row where either is strided. Throws ShapeError unless the sizes and row counts are
/// equal.
template <class T>
void copy(const Tensor<T, Cpu>& from, Tensor<T, Cpu>& to) {
  require<ShapeError>(from.shape() == to.shape(), "copy: from ", from.shape(), " to ", to.shape());
  if (from.size() == 0) return;
  if (from.contiguous() && to.contiguous()) {
    std::memcpy(static_cast<void*>(to.data()), from.data(), to_size(from.size()) * sizeof(T));
    return;
  }
  const std::size_t bytes = to_size(from.shape().size_from(1)) * sizeof(T);
  for (std::int64_t i = 0; i < from.dim(0); ++i) std::memcpy(static_cast<void*>(to.row(i)), from.row(i), bytes);
}

/// Sets every element.
template <class T>
void fill(Tensor<T, Cpu>& tensor, T value) {
  if (tensor.size() == 0) return;
  const bool flat = tensor.contiguous();
  const std::int64_t rows = flat ? 1 : tensor.dim(0), length = tensor.size() / rows;
  for (std::int64_t i = 0; i < rows; ++i) std::fill_n(flat ? tensor.data() : tensor.row(i), length, value);
}

/// A contiguous copy in memory of its own.
template <class T, class Device>
[[nodiscard]] Tensor<T, Device> clone(const Tensor<T, Device>& tensor) {
  if (tensor.empty()) return {};
  Tensor<T, Device> result(tensor.shape());
  copy(tensor, result);
  return result;
}

/// The tensor itself where it is contiguous, else a copy that is: for those that read all its elements in a row.
template <class T, class Device>
[[nodiscard]] Tensor<T, Device> packed(const Tensor<T, Device>& tensor) {
  return tensor.contiguous() ? tensor : clone(tensor);
}

/// A new tensor of equal elements.
template <class T, class Device>
[[nodiscard]] Tensor<T, Device> full(const Shape& shape, T value) {
  Tensor<T, Device> result(shape);
  fill(result, value);
  return result;
}

/// A new tensor of zeros.
template <class T, class Device>
[[nodiscard]] Tensor<T, Device> zeros(const Shape& shape) {
  return full<T, Device>(shape, T(0));
}

/// A host tensor holding the given values in row-major order.
template <class T>
[[nodiscard]] Tensor<T, Cpu> tensor_of(const Shape& shape, std::span<const T> values) {
  require<ShapeError>(static_cast<std::int64_t>(values.size()) == shape.size(), "tensor_of: ", values.size(),
                      " values for ", shape);
  Tensor<T, Cpu> result(shape);
  std::copy(values.begin(), values.end(), result.data());
  return result;
}

/// Moves a host tensor to a device, or shares it where it is there already.
template <class Device, class T>
  requires std::is_same_v<Device, Cpu>
[[nodiscard]] Tensor<T, Cpu> to_device(const Tensor<T, Cpu>& host) { return host; }

/// Brings a tensor to the host, or shares it where it is there already.
template <class T>
[[nodiscard]] Tensor<T, Cpu> to_host(const Tensor<T, Cpu>& tensor) {
  return tensor;
}

}  // namespace lpw::inline LPW_ABI
