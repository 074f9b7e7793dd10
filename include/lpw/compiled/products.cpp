// A part of lpw::compiled.
#include <lpw/cpu/base/gemm_eigen.hpp>
#include <lpw/cpu/compiled.hpp>
#include <lpw/cpu/gemm.hpp>
#include <lpw/cpu/panels/multiply.hpp>

template void lpw::detail::gemm_on_thread(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, bool);
template void lpw::detail::gemm_on_thread(MatrixView<const double>, MatrixView<const double>, MatrixView<double>, bool);

namespace lpw::inline LPW_ABI::panels {

template void multiply(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, bool);
template void multiply(MatrixView<const float>, MatrixView<const bfloat16>, MatrixView<float>, bool);
template void multiply(MatrixView<const bfloat16>, MatrixView<const float>, MatrixView<float>, bool);
template void multiply(MatrixView<const bfloat16>, MatrixView<const bfloat16>, MatrixView<float>, bool);
template PackedRight::PackedRight(MatrixView<const float>, std::int64_t);
template void PackedRight::multiply(MatrixView<const float>, MatrixView<float>, bool) const;
template void PackedRight::multiply(MatrixView<const bfloat16>, MatrixView<float>, bool) const;

}  // namespace lpw::inline LPW_ABI::panels

#define LPW_TEMPLATE template
#define LPW_T float
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#if LPW_COMPILED > 1
#define LPW_T double
#include <lpw/cpu/compiled_stores.inc>
#endif
