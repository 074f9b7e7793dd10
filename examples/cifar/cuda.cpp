// The CIFAR trainer's --device cuda.
#include "../shared/cuda_program.hpp"

#include "example.hpp"

template int example::run_on_cuda<cifar::Example>(const cifar::Options&, const std::string&);
