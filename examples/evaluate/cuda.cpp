// The evaluation's --device cuda.
#include "../shared/cuda_program.hpp"

#include "program.hpp"

[[maybe_unused]] static const bool offered = example::offer_cuda<evaluate::Example>();
