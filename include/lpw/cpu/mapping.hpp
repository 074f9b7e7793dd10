// primitives/mapping.hpp on the CPU: a row of the walk is a loop that is vectorised where operands lie along it, or are
// repeated. Sums are formed in double.
#pragma once

#include <array>
#include <type_traits>

#include <lpw/cpu/base/functions.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The operands of a function from some element on.
template <class T, class B>
struct FunctionRow {
  using W = Accumulate<T>;
  const T *x, *y;
  const B* b;
  W scale, shift;

  explicit FunctionRow(const FunctionInputs<T, B, Cpu>& inputs)
      : x(inputs.x.data()),
        y(inputs.y.data()),
        b(inputs.b.data()),
        scale(static_cast<W>(inputs.scale)),
        shift(static_cast<W>(inputs.shift)) {}

  template <Function f>
  [[nodiscard]] FunctionRow at(const Walk::Place& place) const {
    FunctionRow row = *this;
    if constexpr (reads_x(f)) row.x += place.element[0];
    if constexpr (reads_y(f)) row.y += place.element[1];
    if constexpr (reads_b(f)) row.b += place.element[2];
    return row;
  }

  /// f of element i of each, whose elements lie as many apart as `stride` says.
  template <Function f, class Stride>
  [[nodiscard]] W value(std::int64_t i, const Stride& stride) const {
    W in_x{}, in_y{}, in_b{};
    if constexpr (reads_x(f)) in_x = W(x[i * stride.x]);
    if constexpr (reads_y(f)) in_y = W(y[i * stride.y]);
    if constexpr (reads_b(f)) in_b = W(b[i * stride.b]);
    return function_of<f>(in_x, in_y, in_b, scale, shift);
  }
};

/// The strides of a row that is vectorised: x and y lie along it, and so does b, or it is repeated.
template <std::int64_t B>
struct UnitStrides {
  static constexpr std::int64_t x = 1, y = 1, b = B;
};
struct AnyStrides {
  std::int64_t x, y, b;
};

/// body(strides of a row of the walk): known ones where they are.
template <Function f, class Body>
void with_row_strides(const Walk& walk, const Body& body) {
  const AnyStrides any{walk.row_stride(0), walk.row_stride(1), walk.row_stride(2)};
  const bool unit = (!reads_x(f) || any.x == 1) && (!reads_y(f) || any.y == 1);
  if (unit && (!reads_b(f) || any.b == 1)) return body(UnitStrides<1>());
  if constexpr (reads_b(f))
    if (unit && any.b == 0) return body(UnitStrides<0>());
  body(any);
}

/// out (+)= f over n elements of a row.
template <Function f, class T, class B, class Out, class Stride>
void apply_row(std::int64_t n, const FunctionRow<T, B>& row, Out* out, std::int64_t out_stride, const Stride& stride,
               bool accumulate) {
  using W = Accumulate<T>;
  if (out_stride == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const W value = row.template value<f>(i, stride);
      store(out[i], accumulate ? W(out[i]) + value : value);
    }
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const W value = row.template value<f>(i, stride);
    store(out[i * out_stride], accumulate ? W(out[i * out_stride]) + value : value);
  }
}

/// The sum of f over n elements of a row, in eight parts that are added in order.
template <Function f, class T, class B, class Stride>
[[nodiscard]] double sum_row(std::int64_t n, const FunctionRow<T, B>& row, const Stride& stride) {
  constexpr std::int64_t lanes = 8;
  std::array<double, lanes> sum{};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < lanes; ++lane)
      sum[to_size(lane)] += double(row.template value<f>(i + lane, stride));
  }
  for (; i < n; ++i) sum[to_size(i % lanes)] += double(row.template value<f>(i, stride));
  double total = 0;
  for (const double part : sum) total += part;
  return total;
}

/// How a sum is cut: by its walk alone. An item is up to `width` neighbouring results and up to `length` terms of each.
struct SumCut {
  Walk kept, terms;
  bool along;  // the terms of one result lie along the rows of the walk, else neighbouring results do
  std::int64_t width, length, results, blocks, parts;

  explicit SumCut(const Walk& walk)
      : kept(part_of(walk, false)),
        terms(part_of(walk, true)),
        along(walk.rank > 0 && walk.stride[Walk::result][walk.rank - 1] == 0),
        width(along ? 1 : 64),
        length(along ? 16384 : 256),
        results(kept.size()),
        blocks((kept.row() + width - 1) / width),
        parts((terms.size() + length - 1) / length) {}

  [[nodiscard]] std::int64_t items() const { return results / kept.row() * blocks * parts; }
  [[nodiscard]] std::int64_t part(std::int64_t item) const { return item % parts; }
  /// The first of an item's results, and how many it has.
  [[nodiscard]] std::int64_t first(std::int64_t item) const {
    return item / parts / blocks * kept.row() + item / parts % blocks * width;
  }
  [[nodiscard]] std::int64_t count(std::int64_t item) const {
    return std::min(width, kept.row() - item / parts % blocks * width);
  }
};

/// The sums of an item's terms.
template <Function f, class T, class B, class Stride>
void sum_item(const SumCut& cut, std::int64_t item, const FunctionRow<T, B>& inputs, const Stride& stride,
              double* sums) {
  const auto row = inputs.template at<f>(cut.kept.place(cut.first(item)));
  const std::int64_t count = cut.count(item);
  std::fill_n(sums, count, 0.0);
  std::int64_t term = cut.part(item) * cut.length;
  const std::int64_t last = std::min(cut.terms.size(), term + cut.length);
  while (term < last) {
    const auto place = cut.terms.place(term);
    const auto here = row.template at<f>(place);
    if (cut.along) {
      const std::int64_t n = std::min(last - term, place.left);
      sums[0] += sum_row<f>(n, here, stride);
      term += n;
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) sums[i] += double(here.template value<f>(i, stride));
      ++term;
    }
  }
}

}  // namespace detail

template <Function f, class T, class B, class Out>
void apply_function(const Shape& shape, const FunctionInputs<T, B, Cpu>& inputs, StridedTarget<Out, Cpu> target) {
  if (shape.size() == 0) return;
  const Walk walk = walk_over(shape, inputs, target);
  const detail::FunctionRow<T, B> first_row(inputs);
  Out* const out = target.to.data();
  const bool accumulate = target.accumulate;
  detail::with_row_strides<f>(walk, [&](const auto& stride) {
    parallel_elements(walk.size(), detail::function_cost(f), [&](std::int64_t first, std::int64_t last) {
      while (first < last) {
        const auto place = walk.place(first);
        const std::int64_t n = std::min(last - first, place.left);
        detail::apply_row<f>(n, first_row.template at<f>(place), out + place.element[Walk::result],
                             walk.row_stride(Walk::result), stride, accumulate);
        first += n;
      }
    });
  });
}

template <Function f, class T, class B, class Out>
void sum_function(const Shape& shape, const FunctionInputs<T, B, Cpu>& inputs, StridedTarget<Out, Cpu> target) {
  using W = Accumulate<Out>;
  if (shape.size() == 0) return;
  const Walk walk = walk_over(shape, inputs, target);
  const detail::SumCut cut(walk);
  const detail::FunctionRow<T, B> row(inputs);
  Tensor<double, Cpu> sums({cut.parts, cut.results});
  detail::with_row_strides<f>(walk, [&](const auto& stride) {
    const std::int64_t cost = detail::function_cost(f) * cut.width * std::min(cut.length, cut.terms.size());
    parallel_for(cut.items(), cost, [&](std::int64_t item) {
      detail::sum_item<f>(cut, item, row, stride, sums.row(cut.part(item)) + cut.first(item));
    });
  });
  Out* const out = target.to.data();
  const bool accumulate = target.accumulate;
  parallel_for(cut.results, cut.parts, [&](std::int64_t result) {
    double total = 0;
    for (std::int64_t part = 0; part < cut.parts; ++part) total += sums.row(part)[result];
    Out& to = out[cut.kept.place(result).element[Walk::result]];
    store(to, static_cast<W>(accumulate ? double(W(to)) + total : total));
  });
}

}  // namespace lpw::inline LPW_ABI
