// The enwik8 trainer on the CPU, in bfloat16.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

[[maybe_unused]] static const bool offered = example::offer_cpu<enwik8::Example, lpw::bfloat16>();
