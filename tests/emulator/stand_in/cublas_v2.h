// The part of cuBLAS that lpw calls, as plain loops in double (loops.cpp), with cuBLAS' column-major meaning.
#pragma once

#include <cstdint>

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

/// The matrices of a batch, `stride` elements apart; plain ones are as they are multiplied, the others transposed.
struct BlasOperand {
  const void* data;
  cudaDataType_t type;
  bool plain;
  std::int64_t leading, stride;
};
struct BlasResult {
  void* data;
  cudaDataType_t type;
  std::int64_t leading, stride;
};

/// result = kept result + scale a b, of [m, k] and [k, n], for each of `count` matrices.
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, double scale, const BlasOperand& a, const BlasOperand& b,
              double kept, const BlasResult& result, std::int64_t count);

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
  const BlasOperand first{a, type_a, operation_a == CUBLAS_OP_N, lda, stride_a},
      second{b, type_b, operation_b == CUBLAS_OP_N, ldb, stride_b};
  StandIn::instance().issue(handle->stream, [=, result = BlasResult{c, type_c, ldc, stride_c}] {
    multiply(m, n, k, scale, first, second, kept, result, count);
  });
  return CUBLAS_STATUS_SUCCESS;
}
