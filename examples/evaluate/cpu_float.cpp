// The evaluation on the CPU, in float.
#include "../shared/cpu_program.hpp"

#include "program.hpp"

[[maybe_unused]] static const bool offered = example::offer_cpu<evaluate::Example, float>();
