// The CIFAR trainer on the CPU, in bfloat16.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

template int example::run_on_cpu<cifar::Example, lpw::bfloat16>(const cifar::Options&, const std::string&);
