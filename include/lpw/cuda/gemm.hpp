// Matrix products by cuBLAS, in row-major terms: cuBLAS is column-major, so it is asked for the transposed product.
#pragma once

#include <cublas_v2.h>

#include <lpw/cuda/base/convert.hpp>
#include <lpw/cuda/base/narrow.hpp>
#include <lpw/cuda/base/settings.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// A stack of row-major matrices: `rows` x `columns` with rows row_stride apart, matrices matrix_stride apart (0: the
/// same for all).
template <class T>
struct Matrices {
  T* data;                                                    // of the first element
  std::int64_t rows, columns, row_stride, matrix_stride = 0;  // in elements
  bool transposed = false;                                    // read as columns x rows

  /// The same memory, read the other way.
  [[nodiscard]] Matrices transpose() const {
    Matrices result = *this;
    result.transposed = !transposed;
    return result;
  }
};

namespace detail {

inline void check(cublasStatus_t status, std::string_view call, const Place& place) {
  if (status == CUBLAS_STATUS_ALLOC_FAILED) [[unlikely]]
    fail_memory(call, place);
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail_call(call, cublasGetStatusString(status), place);
}

/// The handle, with a workspace of its own: captured graphs need one that stays.
[[nodiscard]] inline cublasHandle_t make_blas() {
  cublasHandle_t handle = nullptr;
  check(cublasCreate(&handle), "cublasCreate", Place::current());
  check(cublasSetStream(handle, stream()), "cublasSetStream", Place::current());
  constexpr std::int64_t bytes = std::int64_t{32} << 20;
  const Pool::Lasting lasting(pool());
  static auto& workspace = *new Tensor<std::uint8_t, Cuda>({bytes});
  check(cublasSetWorkspace(handle, workspace.data(), bytes), "cublasSetWorkspace", Place::current());
  // Partial sums of bfloat16 products stay float.
  const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
  check(cublasSetMathMode(handle, mode), "cublasSetMathMode", Place::current());
  return handle;
}

[[nodiscard]] inline cublasHandle_t blas() {
  static const cublasHandle_t handle = make_blas();
  return handle;
}

template <class T>
inline constexpr cudaDataType_t data_type = std::is_same_v<T, float>      ? CUDA_R_32F
                                            : std::is_same_v<T, bfloat16> ? CUDA_R_16BF
                                                                          : CUDA_R_16F;

}  // namespace detail

/// c_i (+)= a_i b_i for `count` triples. Sums are float; bfloat16 and half are multiplied on tensor cores, float too if
/// the settings allow tf32. Throws ShapeError past 2^31 - 1 of anything that cuBLAS counts.
template <class T, class C>
void gemm(std::int64_t count, const Matrices<const T>& a, const Matrices<const T>& b, const Matrices<C>& c,
          bool accumulate, const Place& place = Place::current()) {
  const auto operation = [](const Matrices<const T>& m) { return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const auto narrow = [](const char* field, std::int64_t size) { return cuda::narrow("gemm", field, size); };
  const auto stride = [&](const auto& m) { return narrow("row_stride", m.row_stride); };
  const int inner = a.transposed ? narrow("rows", a.rows) : narrow("columns", a.columns);
  const float one = 1, kept = accumulate ? 1 : 0;
  const auto compute = std::is_same_v<T, float> && settings().tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  detail::check(cublasGemmStridedBatchedEx(detail::blas(), operation(b), operation(a), narrow("columns", c.columns),
                                           narrow("rows", c.rows), inner, &one, b.data, detail::data_type<T>, stride(b),
                                           b.matrix_stride, a.data, detail::data_type<T>, stride(a), a.matrix_stride,
                                           &kept, c.data, detail::data_type<C>, stride(c), c.matrix_stride,
                                           narrow("count", count), compute, CUBLAS_GEMM_DEFAULT),
                "cublasGemmStridedBatchedEx", place);
}

}  // namespace lpw::inline LPW_ABI::cuda
