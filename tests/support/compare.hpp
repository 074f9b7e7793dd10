// Comparisons of numbers. A NaN or a difference of infinities on either side fails whatever the tolerance, shapes that
// differ fail, and the message names the worst place with both values. The tolerance, and its reason, stand at the
// call: CHECK(distance(found, expected) <= 4e-6).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/tensor/tensor.hpp>

namespace lpw::test {

/// The elements in row-major order as double.
template <class T>
[[nodiscard]] std::vector<double> values_of(const Tensor<T, Cpu>& tensor) {
  const Tensor<T, Cpu> packed = clone(tensor);
  return {packed.data(), packed.data() + packed.size()};
}
template <class T>
[[nodiscard]] std::vector<double> values_of(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

/// The values as another type, contiguous.
template <class To, class From>
[[nodiscard]] Tensor<To, Cpu> converted(const Tensor<From, Cpu>& tensor) {
  const auto packed = clone(tensor);
  Tensor<To, Cpu> result(tensor.shape());
  for (std::int64_t i = 0; i < packed.size(); ++i) {
    if constexpr (std::is_same_v<To, double>) {
      result.data()[i] = static_cast<double>(packed.data()[i]);
    } else {
      result.data()[i] = To(static_cast<float>(packed.data()[i]));
    }
  }
  return result;
}

/// The worst of some comparisons: compares with a tolerance as its size does, and prints the place and both values. Its
/// size is NaN after a comparison with NaN or of shapes that differ, for which <, <=, > and >= are all false.
class Worst {
 public:
  /// Takes |found - expected| / scale into account, for element `index` of what is called `of`.
  void add(std::int64_t index, double found, double expected, double scale = 1, std::string_view of = {}) {
    const double difference = std::abs(found - expected), size = difference == 0 ? 0 : difference / scale;
    if (size <= size_ || std::isnan(size_)) return;  // false for NaN
    size_ = size;
    where_ = of.empty() ? to_text("element ", index) : to_text(of, '[', index, ']');
    where_ += to_text(": found ", found, ", expected ", expected);
    if (scale != 1) where_ += to_text(", compared with ", scale);
  }
  /// Takes the worst of other comparisons, which are those of `of`, into account.
  void add(const Worst& other, std::string_view of) {
    if (other.size_ <= size_ || std::isnan(size_)) return;
    size_ = other.size_;
    where_ = to_text(of, ", ", other.where_);
  }
  /// Fails whatever the tolerance.
  void refuse(std::string why) {
    size_ = std::numeric_limits<double>::quiet_NaN();
    where_ = std::move(why);
  }

  [[nodiscard]] double size() const { return size_; }
  /// The place and both values; "" if all compared equal.
  [[nodiscard]] const std::string& where() const { return where_; }
  /// "" if no comparison is worse than `tolerance`, else the worst.
  [[nodiscard]] std::string beyond(double tolerance) const { return size_ <= tolerance ? "" : to_text(*this); }

  friend bool operator<(const Worst& worst, double tolerance) { return worst.size_ < tolerance; }
  friend bool operator<=(const Worst& worst, double tolerance) { return worst.size_ <= tolerance; }
  friend bool operator>(const Worst& worst, double tolerance) { return worst.size_ > tolerance; }
  friend bool operator>=(const Worst& worst, double tolerance) { return worst.size_ >= tolerance; }
  friend bool operator==(const Worst& worst, double size) { return worst.size_ == size; }
  friend std::ostream& operator<<(std::ostream& out, const Worst& worst) {
    out << worst.size_;
    return worst.where_.empty() ? out : out << " (" << worst.where_ << ')';
  }

 private:
  double size_ = 0;
  std::string where_;
};

/// Whether a comparison holds and, if not, why: CHECK prints it.
class Verdict {
 public:
  Verdict() = default;
  explicit Verdict(std::string complaint) : complaint_(std::move(complaint)) {}
  explicit operator bool() const { return complaint_.empty(); }
  friend std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
    return out << (verdict.complaint_.empty() ? "the same" : verdict.complaint_);
  }

 private:
  std::string complaint_;
};

/// "" if the shapes agree: two tensors' extents, else the numbers of elements.
template <class A, class B>
[[nodiscard]] std::string shape_mismatch(const A& found, const B& expected) {
  if constexpr (requires { found.shape() == expected.shape(); }) {
    return found.shape() == expected.shape() ? "" : to_text("found ", found.shape(), ", expected ", expected.shape());
  } else {
    const auto size = static_cast<std::int64_t>(found.size()), wanted = static_cast<std::int64_t>(expected.size());
    return size == wanted ? "" : to_text("found ", size, " elements, expected ", wanted);
  }
}

/// The worst |found - expected| / scale(i, expected) over the elements of two tensors or vectors.
template <class A, class B, class Scale>
[[nodiscard]] Worst compare(const A& found, const B& expected, Scale&& scale) {
  Worst worst;
  if (std::string why = shape_mismatch(found, expected); !why.empty()) {
    worst.refuse(std::move(why));
    return worst;
  }
  const auto a = values_of(found), b = values_of(expected);
  for (std::size_t i = 0; i < a.size(); ++i) worst.add(static_cast<std::int64_t>(i), a[i], b[i], scale(i, b[i]));
  return worst;
}

/// |found - expected| of two numbers.
[[nodiscard]] inline Worst difference(double found, double expected) {
  Worst worst;
  worst.add(0, found, expected);
  return worst;
}

/// The largest |found - expected|.
template <class A, class B>
[[nodiscard]] Worst largest_difference(const A& found, const B& expected) {
  return compare(found, expected, [](std::size_t, double) { return 1.0; });
}

/// The largest |found - expected| / (1 + |expected|): absolute for small numbers, relative for large ones.
template <class A, class B>
[[nodiscard]] Worst distance(const A& found, const B& expected) {
  return compare(found, expected, [](std::size_t, double value) { return 1 + std::abs(value); });
}

/// The largest absolute value; NaN if any element is.
template <class A>
[[nodiscard]] double largest_magnitude(const A& values) {
  double largest = 0;
  for (const double value : values_of(values))
    if (!(std::abs(value) <= largest)) largest = std::isnan(largest) ? largest : std::abs(value);
  return largest;
}

/// The largest |found - expected| over the largest |expected|.
template <class A, class B>
[[nodiscard]] Worst relative_difference(const A& found, const B& expected) {
  return compare(found, expected, [largest = largest_magnitude(expected)](std::size_t, double) { return largest; });
}

/// The norm of found - expected over that of expected; NaN if any element is, or if the shapes differ.
template <class A, class B>
[[nodiscard]] double relative_norm(const A& found, const B& expected) {
  if (!shape_mismatch(found, expected).empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto a = values_of(found), b = values_of(expected);
  double error = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    square += b[i] * b[i];
  }
  return std::sqrt(error / square);
}

/// What equality takes NaN for.
enum class Nan { differs, equals_nan };

/// Every element equal as a number; with Nan::equals_nan, or NaN on both sides.
template <class A, class B>
[[nodiscard]] Verdict same_values(const A& found, const B& expected, Nan nan = Nan::differs) {
  if (std::string why = shape_mismatch(found, expected); !why.empty()) return Verdict(std::move(why));
  const auto a = values_of(found), b = values_of(expected);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(nan == Nan::equals_nan && std::isnan(a[i]) && std::isnan(b[i])))
      return Verdict(to_text("element ", i, ": found ", a[i], ", expected ", b[i]));
  return {};
}

/// Every element the same to the bit: NaN is the same NaN, and 0 is not -0.
template <class T>
[[nodiscard]] Verdict same_bits(const Tensor<T, Cpu>& found, const Tensor<T, Cpu>& expected) {
  if (std::string why = shape_mismatch(found, expected); !why.empty()) return Verdict(std::move(why));
  const auto a = clone(found), b = clone(expected);
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (std::memcmp(a.data() + i, b.data() + i, sizeof(T)) != 0)
      return Verdict(to_text("element ", i, ": found ", double(a.data()[i]), ", expected ", double(b.data()[i]),
                             ", not the same bits"));
  return {};
}

}  // namespace lpw::test
