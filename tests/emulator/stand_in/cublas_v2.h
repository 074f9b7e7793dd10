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
    for (std::int64_t batch = 0; batch < count; ++batch)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < m; ++i) {
          double sum = 0;
          for (std::int64_t l = 0; l < k; ++l)
            sum +=
                read_element(a, type_a, batch * stride_a + (operation_a == CUBLAS_OP_N ? i + l * lda : l + i * lda)) *
                read_element(b, type_b, batch * stride_b + (operation_b == CUBLAS_OP_N ? l + j * ldb : j + l * ldb));
          const std::int64_t at = batch * stride_c + i + j * ldc;
          write_element(c, type_c, at, scale * sum + (kept != 0 ? kept * read_element(c, type_c, at) : 0));
        }
  });
  return CUBLAS_STATUS_SUCCESS;
}
