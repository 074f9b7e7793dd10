// A part of lpw::compiled.
#include <lpw/cpu/compiled.hpp>

#define LPW_TEMPLATE template
#define LPW_T float
#include <lpw/cpu/compiled_primitives.inc>
