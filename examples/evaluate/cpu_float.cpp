// The evaluation on the CPU, in float.
#include "../shared/cpu_program.hpp"

#include "program.hpp"

namespace evaluate {

[[maybe_unused]] static const bool offered_in_float = example::offer_cpu<Example, float>();

}  // namespace evaluate
