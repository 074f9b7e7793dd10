// The enwik8 trainer's --device cuda.
#include "../shared/cuda_program.hpp"

#include "example.hpp"

namespace enwik8 {

[[maybe_unused]] static const bool offered_on_cuda = example::offer_cuda<Example>();

}  // namespace enwik8
