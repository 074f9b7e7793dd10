// The CIFAR trainer on the CPU, in bfloat16.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

namespace cifar {

[[maybe_unused]] static const bool offered_in_bfloat16 = example::offer_cpu<Example, lpw::bfloat16>();

}  // namespace cifar
