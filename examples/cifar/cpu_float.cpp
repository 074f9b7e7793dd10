// The CIFAR trainer on the CPU, in float.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

namespace cifar {

[[maybe_unused]] static const bool offered_in_float = example::offer_cpu<Example, float>();

}  // namespace cifar
