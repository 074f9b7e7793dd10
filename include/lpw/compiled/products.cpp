// A part of lpw::compiled.
#include <lpw/cpu/base/gemm_eigen.hpp>
#include <lpw/cpu/compiled.hpp>
#include <lpw/cpu/gemm.hpp>

template void lpw::detail::gemm_on_thread(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, bool);
template void lpw::detail::gemm_on_thread(MatrixView<const double>, MatrixView<const double>, MatrixView<double>, bool);

#define LPW_TEMPLATE template
#define LPW_T float
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#if LPW_COMPILED > 1
#define LPW_T double
#include <lpw/cpu/compiled_stores.inc>
#endif
