// The part of cuBLAS that lpw calls, as plain loops in double, with cuBLAS' column-major meaning.
#pragma once

#include <lpw/tensor/dtype.hpp>

#include <cuda_runtime.h>

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS,
  CUBLAS_STATUS_ALLOC_FAILED,
  CUBLAS_STATUS_INVALID_VALUE,
  CUBLAS_STATUS_EXECUTION_FAILED
};
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cudaDataType_t { CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT };
struct lpw_blas {
  cudaStream_t stream;
};
using cublasHandle_t = lpw_blas*;

inline const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS            ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_EXECUTION_FAILED ? "CUBLAS_STATUS_EXECUTION_FAILED"
                                                    : "CUBLAS_STATUS_INVALID_VALUE";
}
inline cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new lpw_blas{};
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
enum cublasMath_t { CUBLAS_DEFAULT_MATH = 0, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16 };
inline cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, std::size_t) { return CUBLAS_STATUS_SUCCESS; }

namespace lpw::emulator {

[[nodiscard]] inline double read_element(const void* data, cudaDataType_t type, std::int64_t at) {
  switch (type) {
    case CUDA_R_32F:
      return static_cast<const float*>(data)[at];
    case CUDA_R_16BF:
      return static_cast<const bfloat16*>(data)[at];
    default:
      return static_cast<const half*>(data)[at];
  }
}
inline void write_element(void* data, cudaDataType_t type, std::int64_t at, double value) {
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
[[nodiscard]] inline double dot(const double* a, const double* b, std::int64_t count) {
  double sum = 0;
  for (const double* const end = a + count; a != end; ++a, ++b) sum += *a * *b;
  return sum;
}

/// A matrix of a batch as `rows` rows of `length`, those which are multiplied with each other: element (i, l) is
/// i by_row + l by_term behind `first`.
[[nodiscard]] inline std::vector<double> packed(const void* data, cudaDataType_t type, std::int64_t first,
                                                std::int64_t rows, std::int64_t length, std::int64_t by_row,
                                                std::int64_t by_term) {
  std::vector<double> result(static_cast<std::size_t>(rows * length));
  double* to = result.data();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t l = 0; l < length; ++l) *to++ = read_element(data, type, first + i * by_row + l * by_term);
  return result;
}

}  // namespace lpw::emulator

inline cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t operation_a,
                                                 cublasOperation_t operation_b, int m, int n, int k, const void* alpha,
                                                 const void* a, cudaDataType_t type_a, int lda, long long stride_a,
                                                 const void* b, cudaDataType_t type_b, int ldb, long long stride_b,
                                                 const void* beta, void* c, cudaDataType_t type_c, int ldc,
                                                 long long stride_c, int count, cublasComputeType_t, cublasGemmAlgo_t) {
  using namespace lpw::emulator;
  const int rows_a = operation_a == CUBLAS_OP_N ? m : k, rows_b = operation_b == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, rows_a) || ldb < std::max(1, rows_b) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (StandIn::instance().last_error != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const double scale = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  StandIn::instance().issue(handle->stream, [=] {
    const bool plain_a = operation_a == CUBLAS_OP_N, plain_b = operation_b == CUBLAS_OP_N;
    for (std::int64_t batch = 0; batch < count; ++batch) {
      const auto rows = packed(a, type_a, batch * stride_a, m, k, plain_a ? 1 : lda, plain_a ? lda : 1);
      const auto columns = packed(b, type_b, batch * stride_b, n, k, plain_b ? ldb : 1, plain_b ? 1 : ldb);
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < m; ++i) {
          const double sum = dot(rows.data() + i * k, columns.data() + j * k, k);
          const std::int64_t at = batch * stride_c + i + j * ldc;
          write_element(c, type_c, at, scale * sum + (kept != 0 ? kept * read_element(c, type_c, at) : 0));
        }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
