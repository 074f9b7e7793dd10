// The evaluation's --device cuda.
#include "../shared/cuda_program.hpp"

#include "program.hpp"

namespace evaluate {

[[maybe_unused]] static const bool offered_on_cuda = example::offer_cuda<Example>();

}  // namespace evaluate
