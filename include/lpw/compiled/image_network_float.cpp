// A part of lpw::compiled.
#include <lpw/compiled.hpp>

#define LPW_TEMPLATE template
#define LPW_NETWORK lpw::nn::ImageNetwork<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
