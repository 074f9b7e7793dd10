// The CIFAR trainer's --device cuda.
#include "cuda_program.hpp"

#include "cifar_example.hpp"

template int example::run_on_cuda<cifar::Example>(const cifar::Options&, const std::string&);
