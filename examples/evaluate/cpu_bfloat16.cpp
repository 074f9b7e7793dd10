// The evaluation on the CPU, in bfloat16.
#include "../shared/cpu_program.hpp"

#include "program.hpp"

[[maybe_unused]] static const bool offered = example::offer_cpu<evaluate::Example, lpw::bfloat16>();
