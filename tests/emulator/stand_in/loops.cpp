// What the stand-ins of cuBLAS and cuDNN compute.
#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <lpw/tensor/dtype.hpp>

namespace lpw::emulator {

namespace {

[[nodiscard]] double read_element(const void* data, cudaDataType_t type, std::int64_t at) {
  switch (type) {
    case CUDA_R_32F:
      return static_cast<const float*>(data)[at];
    case CUDA_R_16BF:
      return static_cast<const bfloat16*>(data)[at];
    default:
      return static_cast<const half*>(data)[at];
  }
}
void write_element(void* data, cudaDataType_t type, std::int64_t at, double value) {
  const auto rounded = static_cast<float>(value);
  switch (type) {
    case CUDA_R_32F:
      static_cast<float*>(data)[at] = rounded;
      break;
    case CUDA_R_16BF:
      static_cast<bfloat16*>(data)[at] = bfloat16(rounded);
      break;
    default:
      static_cast<half*>(data)[at] = half(rounded);
  }
}

/// a[0] b[0] + ..., of `count` terms.
[[nodiscard]] double dot(const double* a, const double* b, std::int64_t count) {
  double sum = 0;
  for (const double* const end = a + count; a != end; ++a, ++b) sum += *a * *b;
  return sum;
}

/// A matrix of a batch as `rows` rows of `length`, those which are multiplied with each other: element (i, l) is
/// i by_row + l by_term behind `first`.
[[nodiscard]] std::vector<double> packed(const void* data, cudaDataType_t type, std::int64_t first, std::int64_t rows,
                                         std::int64_t length, std::int64_t by_row, std::int64_t by_term) {
  std::vector<double> result(static_cast<std::size_t>(rows * length));
  double* to = result.data();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t l = 0; l < length; ++l) *to++ = read_element(data, type, first + i * by_row + l * by_term);
  return result;
}

/// What a fresh sum starts with, given the factor of the old value.
[[nodiscard]] double kept(const void* data, const DnnTensor& tensor, std::int64_t at, double factor) {
  return factor == 0 ? 0 : factor * read_element(data, tensor.type, at);
}

/// Calls f(row, column) of the image for every tap (r, s) of the filter that lies inside it.
template <class F>
void for_each_tap(const DnnTensor& x, const DnnTensor& w, const DnnConvolution& c, std::int64_t out_row,
                  std::int64_t out_column, F f) {
  for (std::int64_t r = 0; r < w.h; ++r)
    for (std::int64_t s = 0; s < w.w; ++s) {
      const std::int64_t row = out_row * c.stride_h + r * c.dilation_h - c.padding_h,
                         column = out_column * c.stride_w + s * c.dilation_w - c.padding_w;
      if (row >= 0 && row < x.h && column >= 0 && column < x.w) f(r, s, row, column);
    }
}

/// Calls term(i, j, o) for all terms of the convolution, a run of the input's channels at a time: where the run begins
/// in x and in w, and which element of y it belongs to.
template <class Term>
void for_each_run(const DnnTensor& x, const DnnTensor& w, const DnnTensor& y, const DnnConvolution& c, Term term) {
  for (std::int64_t i = 0; i < y.n; ++i)
    for (std::int64_t row = 0; row < y.h; ++row)
      for (std::int64_t column = 0; column < y.w; ++column)
        for_each_tap(x, w, c, row, column,
                     [&](std::int64_t r, std::int64_t s, std::int64_t in_row, std::int64_t in_column) {
                       for (std::int64_t k = 0; k < w.n; ++k) {
                         const std::int64_t first = k / (w.n / c.groups) * w.c;  // channel of the filter's group
                         term(x.at(i, first, in_row, in_column), w.at(k, 0, r, s), y.at(i, k, row, column));
                       }
                     });
}

[[nodiscard]] std::vector<double> elements(const void* data, const DnnTensor& tensor) {
  return packed(data, tensor.type, 0, 1, tensor.n * tensor.c * tensor.h * tensor.w, 0, 1);
}

/// to[0] += factor * from[0], ..., of `count` elements.
void add_scaled(double* to, double factor, const double* from, std::int64_t count) {
  for (const double* const end = from + count; from != end; ++to, ++from) *to += factor * *from;
}

/// result = beta result + scale * the sums that `add` forms in double.
template <class Add>
void accumulate(void* result, const DnnTensor& tensor, double scale, double beta, Add add) {
  std::vector<double> sums(static_cast<std::size_t>(tensor.n * tensor.c * tensor.h * tensor.w));
  add(sums.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    write_element(result, tensor.type, at, kept(result, tensor, at, beta) + scale * sums[i]);
  }
}

}  // namespace

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, double scale, const BlasOperand& a, const BlasOperand& b,
              double kept, const BlasResult& result, std::int64_t count) {
  for (std::int64_t batch = 0; batch < count; ++batch) {
    const auto rows = packed(a.data, a.type, batch * a.stride, m, k, a.plain ? 1 : a.leading, a.plain ? a.leading : 1);
    const auto columns =
        packed(b.data, b.type, batch * b.stride, n, k, b.plain ? b.leading : 1, b.plain ? 1 : b.leading);
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t i = 0; i < m; ++i) {
        const double sum = dot(rows.data() + i * k, columns.data() + j * k, k);
        const std::int64_t at = batch * result.stride + i + j * result.leading;
        write_element(result.data, result.type, at,
                      scale * sum + (kept != 0 ? kept * read_element(result.data, result.type, at) : 0));
      }
  }
}

void convolve(void* y, const DnnTensor& yt, const void* x, const DnnTensor& xt, const void* w, const DnnTensor& wt,
              const DnnConvolution& c, double scale, double old) {
  const auto xs = elements(x, xt), ws = elements(w, wt);
  accumulate(y, yt, scale, old, [&](double* sums) {
    for_each_run(xt, wt, yt, c, [&](std::int64_t i, std::int64_t j, std::int64_t o) {
      sums[o] += dot(xs.data() + i, ws.data() + j, wt.c);
    });
  });
}
void convolve_backward_data(void* dx, const DnnTensor& xt, const void* dy, const DnnTensor& yt, const void* w,
                            const DnnTensor& wt, const DnnConvolution& c, double scale, double old) {
  const auto dys = elements(dy, yt), ws = elements(w, wt);
  accumulate(dx, xt, scale, old, [&](double* sums) {
    for_each_run(xt, wt, yt, c, [&](std::int64_t i, std::int64_t j, std::int64_t o) {
      add_scaled(sums + i, dys[static_cast<std::size_t>(o)], ws.data() + j, wt.c);
    });
  });
}
void convolve_backward_filter(void* dw, const DnnTensor& wt, const void* dy, const DnnTensor& yt, const void* x,
                              const DnnTensor& xt, const DnnConvolution& c, double scale, double old) {
  const auto dys = elements(dy, yt), xs = elements(x, xt);
  accumulate(dw, wt, scale, old, [&](double* sums) {
    for_each_run(xt, wt, yt, c, [&](std::int64_t i, std::int64_t j, std::int64_t o) {
      add_scaled(sums + j, dys[static_cast<std::size_t>(o)], xs.data() + i, wt.c);
    });
  });
}

}  // namespace lpw::emulator
