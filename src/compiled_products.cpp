// A part of lpw::compiled.
#include <lpw/cpu/gemm.hpp>
#include <lpw/cpu/gemm_eigen.hpp>

template void lpw::detail::gemm_on_thread(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, bool);
template void lpw::detail::gemm_on_thread(MatrixView<const double>, MatrixView<const double>, MatrixView<double>, bool);
