// The CIFAR trainer's --device cuda.
#include "../shared/cuda_program.hpp"

#include "example.hpp"

[[maybe_unused]] static const bool offered = example::offer_cuda<cifar::Example>();
