// A part of lpw::compiled, but in this project's own build, few of whose programs take it.
#if LPW_COMPILED == 1
#include <lpw/autograd/compiled.hpp>

#define LPW_TEMPLATE template
#define LPW_T float
#include <lpw/autograd/compiled_functions.inc>
#endif
