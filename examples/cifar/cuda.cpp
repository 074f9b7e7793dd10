// The CIFAR trainer's --device cuda.
#include "../shared/cuda_program.hpp"

#include "example.hpp"

namespace cifar {

[[maybe_unused]] static const bool offered_on_cuda = example::offer_cuda<Example>();

}  // namespace cifar
