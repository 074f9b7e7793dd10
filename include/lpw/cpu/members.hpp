// primitives/members.hpp on the CPU.
#pragma once

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/members.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Summed in double.
template <class W>
[[nodiscard]] Tensor<W, Cpu> mean_rows(const Tensor<W, Cpu>& rows) {
  Tensor<W, Cpu> mean(rows.shape().with(0, 1));
  const std::int64_t members = rows.dim(0), size = mean.size();
  W* out = mean.data();
  parallel_elements(size, 4 * members, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const double first = static_cast<double>(rows.data()[i]);
      double difference = 0;
      for (std::int64_t k = 1; k < members; ++k) difference += static_cast<double>(rows.row(k)[i]) - first;
      out[i] = difference == 0 ? rows.data()[i] : static_cast<W>(first + difference / static_cast<double>(members));
    }
  });
  return mean;
}

template <class W>
void add_member_noise(Tensor<W, Cpu> rows, const Tensor<W, Cpu>& of, double deviation, const Philox& random) {
  const std::int64_t size = rows.shape().size_from(1);
  double square = 0;
  for (std::int64_t i = 0; i < size; ++i)
    square += static_cast<double>(of.data()[i]) * static_cast<double>(of.data()[i]);
  const double amount = deviation * std::sqrt(square / static_cast<double>(std::max<std::int64_t>(size, 1)));
  for (std::int64_t k = 0; k < rows.dim(0); ++k)
    for (std::int64_t i = 0; i < size; ++i) {
      const auto index = static_cast<std::uint64_t>(k * size + i);
      rows.row(k)[i] = static_cast<W>(static_cast<double>(rows.row(k)[i]) + amount * random.normal(index));
    }
}

template <class W>
void add_member_noise(Tensor<W, Cpu> rows, double deviation, const Philox& random) {
  add_member_noise(rows, rows.rows(0, 1), deviation, random);
}

template <class W>
[[nodiscard]] Tensor<W, Cpu> add_row_forward(const Tensor<W, Cpu>& rows, const Tensor<W, Cpu>& row) {
  Tensor<W, Cpu> sum(rows.shape());
  const W* shared = row.data();
  parallel_elements(row.size(), rows.dim(0), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = 0; k < rows.dim(0); ++k) {
      const W* in = rows.row(k);
      W* out = sum.row(k);
#pragma omp simd
      for (std::int64_t i = first; i < last; ++i) out[i] = in[i] + shared[i];
    }
  });
  return sum;
}

/// One read of dy.
template <class W>
void add_row_backward(const Tensor<W, Cpu>& dy, Gradient<W, Cpu>& drows, Gradient<W, Cpu>& drow) {
  const std::int64_t members = dy.dim(0);
  parallel_elements(dy.shape().size_from(1), 2 * members, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = 0; k < members; ++k) {
      const W* in = dy.row(k);
      const auto put = [&](W* out, bool add) {
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) out[i] = add ? out[i] + in[i] : in[i];
      };
      if (!drows.tensor.empty()) put(drows.tensor.row(k), drows.accumulate);
      if (!drow.tensor.empty()) put(drow.tensor.data(), drow.accumulate || k > 0);
    }
  });
}

template <class W>
void move_average(Tensor<W, Cpu>& average, const Tensor<W, Cpu>& value, double weight) {
  require<ShapeError>(average.shape() == value.shape(), "average: ", average.shape(), " of values ", value.shape());
  W* out = average.data();
  const W *in = value.data(), w = static_cast<W>(weight);
  parallel_elements(value.size(), 2, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
    for (std::int64_t i = first; i < last; ++i) out[i] += (in[i] - out[i]) * w;
  });
}

}  // namespace lpw::inline LPW_ABI
