// A part of lpw::compiled.
#include <lpw/autograd/compiled.hpp>

#define LPW_TEMPLATE template
#define LPW_T float
#include <lpw/autograd/compiled_operations.inc>
